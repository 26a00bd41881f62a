"""``tracesieve explain``: for every rule whether one trace matched, and why."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import click

from rules.errors import RuleFilesError
from tracesieve.json_output import echo_json
from tracesieve.terminal import plain, wrapped

_WORDS = {True: "yes", False: "no", None: "null"}


@click.command("explain")
@click.argument("trace_id")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(trace_id: str, config: str, as_json: bool) -> None:
    """Show for every rule whether the trace TRACE_ID matches, and which part decided."""
    from rules.loading.packs import load_packs
    from store import open_store
    from tracesieve.analysis.explain import explain_trace
    from tracesieve.config.loading import load_settings
    from tracesieve.config.trace_table import trace_row

    settings = load_settings(config)
    loaded = load_packs(settings.rules, settings.group_by, settings.base_dir)
    if loaded.rule_set is None:
        raise RuleFilesError(loaded.errors)
    store = open_store(settings.store_path, create=False)
    document = explain_trace(store, loaded.rule_set, trace_id, partial(trace_row, settings))
    echo_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """One line a rule, under it the parts of its condition; those that decided are marked with ``*``."""
    counted = document["counted"]
    if counted:
        took = "-" if counted["duration_us"] is None else f"{counted['duration_us'] / 1000:,.0f} ms"
        click.echo(
            wrapped(f"{document['trace_id']}: {counted['state']}, {took}, {'/'.join(counted['group'])}")
        )
    else:
        click.echo(
            plain(f"{document['trace_id']}: not counted (in progress, left out, expired or not yet read)")
        )
    for rule in document["rules"]:
        click.echo(wrapped(f"{rule['rule']}: {rule['text']}", f"{_WORDS[rule['matched']]:4}  ", 6))
        _parts(rule, 6)
    for row in document["evidence_of"]:
        click.echo(plain(f"evidence of {row['rule']} (episode {row['episode']})"))


def _parts(part: dict[str, Any], indent: int) -> None:
    """The parts of a condition, or of a part of it, with the values that they read from the trace."""
    if not part.get("parts") and part.get("values"):
        click.echo(wrapped(_values(part), " " * indent, indent + 2))
    decided = part.get("decided_by") or []
    for inner in part.get("parts") or []:
        mark = "*" if inner["text"] in decided or len(part["parts"]) == 1 else " "
        click.echo(wrapped(inner["text"], f"{' ' * indent}{mark} {_WORDS[inner['result']]:4}  ", indent + 8))
        _parts(inner, indent + 8)


def _values(part: dict[str, Any]) -> str:
    # These are words of the trace itself: shortened here, and freed of control characters where printed.
    return ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)[:80]}" for name, value in part["values"].items()
    )

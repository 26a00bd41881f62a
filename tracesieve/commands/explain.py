"""``tracesieve explain``: for every rule whether one trace matched, and why; and what became of the trace."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from rules.errors import RuleFilesError
from tracesieve.json_output import echo_json
from tracesieve.terminal import plain, wrapped

_WORDS = {True: "yes", False: "no", None: "null"}
_ITEMS = 3  # spans that are named


@click.command("explain")
@click.argument("trace_id")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(trace_id: str, config: str, as_json: bool) -> None:
    """Show for every rule whether the trace TRACE_ID matches, and which part and span decided; whether it is
    counted, its tags and its datasets. The beginning of an id is enough.
    """
    from store import open_store
    from tracesieve.analysis.explain import explain_trace
    from tracesieve.config.loading import load_settings
    from tracesieve.run.rule_files import RuleFiles

    settings = load_settings(config)
    loaded = RuleFiles.of(settings).load()
    if loaded.rule_set is None:
        raise RuleFilesError(loaded.errors)
    store = open_store(settings.store_path, create=False)
    document = explain_trace(settings, store, loaded.rule_set, trace_id, time.time_ns() // 1000)
    echo_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """How it is counted; one line a rule, under it the parts of its condition, those that decided marked with
    ``*``; what was written.
    """
    from rules.selection import REASONS

    counted = document["counted"]
    if counted:
        took = "-" if counted["duration_us"] is None else f"{counted['duration_us'] / 1000:,.0f} ms"
        click.echo(
            wrapped(f"{document['trace_id']}: {counted['state']}, {took}, {'/'.join(counted['group'])}")
        )
    else:
        click.echo(wrapped(f"{document['trace_id']}: not counted"))
    if document["why"] != "counted":
        click.echo(wrapped(document["why"], "  "))
    for rule in document["rules"]:
        click.echo(wrapped(f"{rule['rule']}: {rule['text']}", f"{_WORDS[rule['matched']]:4}  ", 6))
        _parts(rule, 6)
    for row in document["evidence_of"]:
        click.echo(plain(f"evidence of {row['rule']} (episode {row['episode']})"))
    _tags(document["tags"])
    _datasets(document["datasets"])
    for dataset, reason in document["left_out"].items():
        click.echo(wrapped(f"dataset {dataset}: left out: {REASONS.get(reason, reason)}", hang=2))


def _parts(part: dict[str, Any], indent: int) -> None:
    """The parts of a condition, or of a part of it, with the values that they read from the trace."""
    if not part.get("parts") and part.get("values"):
        click.echo(wrapped(_values(part["values"]), " " * indent, indent + 2))
    for scope in ("spans", "assessments"):
        items = part.get(scope) or []
        for item in items[:_ITEMS]:
            click.echo(wrapped(_item(scope[:-1], item), " " * indent, indent + 2))
        if len(items) > _ITEMS:
            click.echo(f"{' ' * indent}and more {scope}")
    decided = part.get("decided_by") or []
    for inner in part.get("parts") or []:
        mark = "*" if inner["text"] in decided or len(part["parts"]) == 1 else " "
        click.echo(wrapped(inner["text"], f"{' ' * indent}{mark} {_WORDS[inner['result']]:4}  ", indent + 8))
        _parts(inner, indent + 8)


def _item(noun: str, item: dict[str, Any]) -> str:
    """A span that decided: its name, type and status, the terms by which, and what these read."""
    about = ", ".join(str(item[name]) for name in ("type", "status") if item.get(name))
    name = "without a name" if item.get("name") is None else str(item["name"])[:80]
    terms = " and ".join(item["terms"])
    # What an equality says already is not repeated.
    equal = {term.partition(" = ")[0] for term in item["terms"] if " = '" in term}
    values = {key: value for key, value in item["values"].items() if key not in equal}
    return (
        f"{noun} {name}{f' ({about})' if about else ''}{f': {terms}' if terms else ''}"
        f"{f'; {_values(values)}' if values else ''}"
    )


def _values(values: dict[str, Any]) -> str:
    # These are words of the trace itself: shortened here, and freed of control characters where printed.
    shown = (f"{name} = {json.dumps(value, ensure_ascii=False)[:80]}" for name, value in values.items())
    return ", ".join(shown)


def _tags(tags: dict[str, Any] | None) -> None:
    if tags is None:
        return
    values = ", ".join(f"{name} = {value}" for name, value in tags["values"].items()) or "none"
    click.echo(wrapped(f"tags: {values} ({_delivery(tags)})", hang=2))


def _datasets(datasets: dict[str, Any]) -> None:
    from rules.tags import is_search

    for one in datasets["in"]:
        rules = ["a search" if is_search(rule) else rule for rule in one["rules"]]
        by = [*dict.fromkeys(rules), *(["a person"] if one["person"] else [])]
        click.echo(wrapped(f"dataset {one['dataset']}: by {', '.join(by)}: {one['reason']}", hang=2))
    for one in datasets["deliveries"]:
        if one["state"] != "delivered":
            wanted = ", ".join(datasets["wanted"]) or "none"
            click.echo(wrapped(f"datasets of {wanted}: {_delivery(one)}", hang=2))


def _delivery(one: dict[str, Any]) -> str:
    why = f": {one['detail']}" if one["detail"] else ""
    at = f" {one['tried'][:19]}Z" if one["tried"] else ""
    return f"{one['state']}{at}{why}"

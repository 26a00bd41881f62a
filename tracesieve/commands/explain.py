"""``tracesieve explain``: for every rule whether one trace matched, and why, by the matcher that production
uses.
"""

from __future__ import annotations

import json
from typing import Any

import click

from tracesieve.errors import AnswerIsNoError, TracesieveError

_WORDS = {True: "yes", False: "no", None: "null"}


@click.command("explain")
@click.argument("trace_id")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(trace_id: str, config: str, as_json: bool) -> None:
    """Say for every rule whether the trace TRACE_ID matches, and which part decided."""
    from rules.loading.packs import load_packs
    from tracesieve.config.loading import load_settings

    settings = load_settings(config)
    loaded = load_packs(settings.rules, settings.group_by, settings.base_dir)
    if loaded.rule_set is None:
        raise TracesieveError("\n".join(map(str, loaded.errors)))
    document = explained(settings, loaded.rule_set, trace_id)
    click.echo(json.dumps(document)) if as_json else show(document)


def explained(settings: Any, rule_set: Any, trace_id: str) -> dict[str, Any]:
    """What is known of a trace and how each rule sees it.

    Raises:
        AnswerIsNoError: neither the store nor the source has the trace.
    """
    import polars as pl

    from rules.matcher import explain, raw_table
    from store import net_facts, open_store
    from tracesieve.config.trace_table import trace_row

    store = open_store(settings.store_path, create=False)
    facts = net_facts(store.table("facts").read(where=pl.col("trace_id") == trace_id)).to_dicts()
    fact = facts[0] if facts else None
    row = trace_row(settings, trace_id, fact["start_us"] if fact else None)
    if row is None:
        raise AnswerIsNoError(f"there is no trace {trace_id} in the store or its source")
    said = []
    for rule, condition in rule_set.per_trace:
        told = explain(condition, raw_table(row, condition.columns))
        said.append({"rule": rule.id, "kind": rule.kind, "tag": rule.category, **told})
    evidence = store.table("evidence").read(["rule", "episode"], pl.col("trace_id") == trace_id).to_dicts()
    counted = None
    if fact:
        names = (
            "state",
            "error",
            "start_us",
            "end_us",
            "duration_us",
            "tokens_total",
            "cost_nusd",
            "late",
            "group",
        )
        counted = {**{name: fact[name] for name in names}, "rules": [hit["rule"] for hit in fact["hits"]]}
    return {"trace_id": trace_id, "counted": counted, "evidence_of": evidence, "rules": said}


def show(document: dict[str, Any]) -> None:
    """One line a rule, under it the parts of its condition; those that decided are marked with ``*``."""
    from tracesieve.terminal import plain, wrapped

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


def _parts(said: dict[str, Any], indent: int) -> None:
    """The parts of a condition or of a part of it, and what they saw in the trace."""
    from tracesieve.terminal import wrapped

    if not said.get("parts") and said.get("values"):
        click.echo(wrapped(_values(said), " " * indent, indent + 2))
    decided = said.get("decided_by") or []
    for part in said.get("parts") or []:
        mark = "*" if part["text"] in decided or len(said["parts"]) == 1 else " "
        click.echo(wrapped(part["text"], f"{' ' * indent}{mark} {_WORDS[part['result']]:4}  ", indent + 8))
        _parts(part, indent + 8)


def _values(part: dict[str, Any]) -> str:
    # The trace's own words come to the terminal: shortened, and without control characters.
    return ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)[:80]}" for name, value in part["values"].items()
    )

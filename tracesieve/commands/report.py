"""``tracesieve report``: the numbers of a range of time, as a table or as JSON; starts no Java."""

from __future__ import annotations

import time
from typing import Any

import click

from rules.units import DAY_US, parse_time_us, readable_time
from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import group_names, table, wrapped
from tracesieve.time_range import range_us

_MOST_GROUPS = 21
_ALL = "all"  # the name of the row of all groups


@click.command("report")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 30m, 7d  [default: 24h]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--by", help="a key of group_by")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    config: str, last: str | None, start: str | None, end: str | None, by: str | None, as_json: bool
) -> None:
    """Error rate, latency, tokens and cost of a range of time."""
    from sinks.mlflow.config import dataset_prefix
    from store import open_store
    from tracesieve.analysis.report import report
    from tracesieve.config.loading import load_settings
    from tracesieve.config.trace_table import trace_table

    settings = load_settings(config)
    now = time.time_ns() // 1000
    from_us, to_us = range_us(last, start, end, now)
    if by and by not in settings.group_by:
        raise TracesieveError(f"--by {by}: use a key of group_by ({', '.join(settings.group_by)})")
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    store = open_store(settings.store_path, create=False)
    prefix = dataset_prefix(settings.sinks)
    document = report(store, from_us, to_us, [by] if by else [], now, trace_table(settings), prefix)
    echo_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """The document as tables no wider than the terminal, and two paragraphs."""
    from tracesieve.analysis import candidates, error_patterns

    first, end = (readable_time(parse_time_us(document[key])) for key in ("from", "to"))
    click.echo(f"from {first} to {end}\n")
    names = group_names([one["group"] for one in document["groups"]], taken=[_ALL])
    groups = zip(names, document["groups"], strict=True)
    rows = [_row(_ALL, document), *(_row(name, one) for name, one in groups)]
    headings = ("group", "traces", "errors", "rate", "P50 ms", "P95 ms", "tokens", "USD")
    click.echo("\n".join(table(headings, rows[:_MOST_GROUPS], numbers=range(1, len(headings)))))
    if len(rows) > _MOST_GROUPS:
        click.echo(f"and {len(rows) - _MOST_GROUPS} more groups (--json has them all)")
    click.echo("\n" + "\n".join(candidates.lines(document)))
    for line in error_patterns.lines(document):
        click.echo(line)
    if tokens := _tokens(document["tokens"]):
        click.echo(wrapped(tokens))
    for sample in document["error_samples"][:3]:
        click.echo(wrapped(f"error: {sample['trace_id']} {sample['error'] or ''}"[:150].rstrip(), "  "))
    fresh = document["freshness"]
    counts = ", ".join(
        f"{name.replace('_', ' ')} {value:,}" for name, value in fresh.items() if name != "final_through"
    )
    through = fresh["final_through"]
    until = (
        "not everything has been read yet"
        if through is None
        else f"counted through {readable_time(parse_time_us(through))}"
    )
    click.echo(wrapped(f"{until}; {counts}"))


def _tokens(tokens: dict[str, int | None]) -> str:
    """The tokens by kind, as far as they are known; empty where none of a cache is."""
    read, written = tokens["cache_read"], tokens["cache_write"]
    if read is None and written is None:
        return ""
    kinds = ("input", "output")
    known = [f"{name} {tokens[name]:,}" for name in kinds if tokens[name] is not None]
    of_cache = [("read from a cache", read), ("written to one", written)]
    parts = [f"{number:,} {what}" for what, number in of_cache if number is not None]
    return f"tokens: {', '.join(known)}; of the input {', '.join(parts)}"


def _row(name: str, numbers: dict[str, Any]) -> tuple[str, ...]:
    rate, cost, tokens = numbers["error_rate"], numbers["cost_usd"], numbers["tokens"]["total"]
    return (
        name,
        f"{numbers['traces']:,}",
        f"{numbers['errors']:,}",
        "-" if rate is None else f"{rate:.1%}",
        *("-" if numbers[key] is None else f"{numbers[key]:,.0f}" for key in ("p50_ms", "p95_ms")),
        "-" if tokens is None else f"{tokens:,}",
        "-" if cost is None else f"{cost:,.2f}",
    )

"""``tracesieve report``: the numbers of a range of time, as a table or as JSON; starts no Java."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from rules.units import parse_duration_us, readable_time
from tracesieve.errors import TracesieveError
from tracesieve.terminal import table, wrapped

_MOST_GROUPS = 21


def when_us(text: str) -> int:
    """An ISO time (UTC unless it says otherwise) in µs."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise TracesieveError(f"{text!r} is not a time: write it as 2026-01-31T12:00:00Z") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)


@click.command("report")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", default="24h", show_default=True, help="a duration: 30m, 24h, 7d")
@click.option("--from", "start", help="a time; with --to, instead of --last")
@click.option("--to", "end", help="a time; now if left out")
@click.option("--by", help="a key of group_by")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    config: str, last: str, start: str | None, end: str | None, by: str | None, as_json: bool
) -> None:
    """Error rate, latency, tokens and cost of a range of time."""
    from store import open_store
    from tracesieve.analysis.report import report
    from tracesieve.config.loading import load_settings
    from tracesieve.config.trace_table import trace_table

    settings = load_settings(config)
    now = time.time_ns() // 1000
    try:
        last_us = parse_duration_us(last)
    except ValueError as error:
        raise TracesieveError(f"--last {last}: write a duration such as 30m, 24h or 7d") from error
    if by and by not in settings.group_by:
        raise TracesieveError(f"--by {by}: use a key of group_by ({', '.join(settings.group_by)})")
    to_us = when_us(end) if end else now
    from_us = when_us(start) if start else to_us - last_us
    store = open_store(settings.store_path, create=False)
    document = report(store, from_us, to_us, [by] if by else [], now, trace_table(settings))
    if as_json:
        click.echo(json.dumps(document))
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """The document as a table no wider than the terminal, and two paragraphs."""
    rows = [
        _row("all", document),
        *(_row("/".join(map(str, one["group"].values())), one) for one in document["groups"]),
    ]
    headings = ("group", "traces", "errors", "rate", "P50 ms", "P95 ms", "tokens", "USD")
    click.echo("\n".join(table(headings, rows[:_MOST_GROUPS], numbers=range(1, len(headings)))))
    if len(rows) > _MOST_GROUPS:
        click.echo(f"and {len(rows) - _MOST_GROUPS} more groups (--json has them all)")
    found = ", ".join(f"{name} {count:,}" for name, count in sorted(document["candidates"].items())) or "none"
    click.echo("\n" + wrapped(f"evaluation candidates: {found}"))
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
        else f"counted through {readable_time(int(through * 1e6))}"
    )
    click.echo(wrapped(f"{until}; {counts}"))


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

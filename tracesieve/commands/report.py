"""``tracesieve report``: the numbers of a range of time, as a table or as JSON; starts no Java."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from tracesieve.errors import TracesieveError


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
def command(config: str, last: str, start: str | None, end: str | None, by: str | None, as_json: bool) -> None:
    """Error rate, latency, tokens and cost of a range of time."""
    from store import open_store
    from store.report import report
    from tracesieve.settings import load_settings, parse_duration_s
    from tracesieve.trace_row import trace_table

    settings = load_settings(config)
    now = time.time_ns() // 1000
    seconds = parse_duration_s(last)
    if not isinstance(seconds, float):
        raise TracesieveError(f"--last {last}: write a duration such as 30m, 24h or 7d")
    if by and by not in settings.group_by:
        raise TracesieveError(f"--by {by}: use a key of group_by ({', '.join(settings.group_by)})")
    to_us = when_us(end) if end else now
    from_us = when_us(start) if start else to_us - int(seconds * 1e6)
    store = open_store(settings.store_path, create=False)
    document = report(store, from_us, to_us, [by] if by else [], now, trace_table(settings, store))
    if as_json:
        click.echo(json.dumps(document))
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """The document as tables that fit 80 columns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=80, highlight=False)
    table = Table("group", "traces", "errors", "rate", "p50 ms", "p95 ms", box=None, header_style="bold")
    for row in [{"group": {"": "all"}, **document}, *document["groups"]][:21]:
        name = "/".join(row["group"].values()) if isinstance(row["group"], dict) else "all"
        rate = "-" if row["error_rate"] is None else f"{row['error_rate']:.1%}"
        quantiles = ["-" if row[f"p{p}_ms"] is None else f"{row[f'p{p}_ms']:,.0f}" for p in (50, 95)]
        table.add_row(name[:36], f"{row['traces']:,}", f"{row['errors']:,}", rate, *quantiles)
    console.print(table)
    found = ", ".join(f"{name} {n}" for name, n in sorted(document["candidates"].items())) or "none"
    console.print(f"\nevaluation candidates: {found}")
    fresh = document["freshness"]
    console.print("freshness: " + ", ".join(f"{name} {fresh[name]}" for name in fresh if name != "final_through"))

"""``tracesieve rules scorecard``: how each rule did; whether to keep, tune or retire it; starts no Java."""

from __future__ import annotations

import time
from typing import Any

import click

from tracesieve.json_output import echo_json
from tracesieve.terminal import table, wrapped
from tracesieve.time_range import range_us


@click.command("scorecard")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 7d, 90d  [default: 30d]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, last: str | None, start: str | None, end: str | None, as_json: bool) -> None:
    """What each rule in force matched, what of that entered datasets, how much of it proved to be a failure
    (by people and by `datasets evaluate`), and whether to keep, tune or retire it.
    """
    from rules.units import DAY_US
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.evaluation.scorecard import scorecard

    now_us = time.time_ns() // 1000
    from_us, to_us = range_us(last, start, end, now_us)
    to_us = now_us if to_us is None else to_us
    from_us = to_us - 30 * DAY_US if from_us is None else from_us
    store = open_store(load_settings(config).store_path, create=False)
    document = scorecard(store, from_us, to_us)
    echo_json(document) if as_json else click.echo("\n".join(lines(document)))


def lines(document: dict[str, Any]) -> list[str]:
    """A table no wider than the terminal, and the reason of each verdict."""
    from rules.units import parse_time_us, readable_time

    first, end = (readable_time(parse_time_us(document[key])) for key in ("from", "to"))
    headings = ("rule", "matches", "a day", "in sets", "proved", "precision", "verdict")
    rows = [_row(one) for one in document["rules"]]
    return [
        f"{document['traces']:,} traces from {first} to {end}",
        "",
        *table(headings, rows, numbers=range(1, 6)),
        "",
        *(wrapped(f"{one['rule']}: {one['verdict']}, {_reason(one)}", hang=4) for one in document["rules"]),
    ]


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    share = "-"
    if one["precision"] is not None:
        share = f"{one['precision']:.0%} ({one['precision_low']:.0%}–{one['precision_high']:.0%})"
    return (
        one["rule"],
        f"{one['matches']:,}",
        f"{one['matches_per_day']:,.1f}",
        f"{one['in_sets']:,}",
        f"{one['proved']:,}/{one['reviewed']:,}",
        share,
        one["verdict"],
    )


def _reason(one: dict[str, Any]) -> str:
    overlap = one["overlap"]
    if overlap is None or overlap["rule"] in one["reason"]:
        return str(one["reason"])
    return f"{one['reason']}; {overlap['share']:.0%} of its matches are also of {overlap['rule']}"

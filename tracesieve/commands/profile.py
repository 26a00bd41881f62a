"""``tracesieve profile``: where the time, the tokens and the failures went; starts no Java."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from rules.units import DAY_US, parse_time_us, readable_time
from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import columns, plain, short_time, table, wrapped
from tracesieve.time_range import range_us

_MOST_ROWS = 20
_WIDE = 100  # columns of the terminal from which totals are shown too
_RANGE = ("--last", "--from", "--to", "--group", "--rule")


@click.command("profile")
@click.argument("trace_ids", nargs=-1, metavar="[TRACE_ID]...")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 30m, 7d  [default: 24h]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--group", "groups", multiple=True, metavar="KEY=VALUE", help="only traces of this group")
@click.option("--rule", metavar="ID", help="only traces that this rule matches, or that are its evidence")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    trace_ids: tuple[str, ...],
    config: str,
    last: str | None,
    start: str | None,
    end: str | None,
    groups: tuple[str, ...],
    rule: str | None,
    as_json: bool,
) -> None:
    """Where the time, the tokens and the failures went, by span type and name.

    Over a range of time, or of the traces TRACE_ID, each as a tree; the beginning of an id is enough.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings

    given = zip(_RANGE, (last, start, end, groups, rule), strict=True)
    wrong = [name for name, value in given if value] if trace_ids else []
    if wrong:
        raise TracesieveError(f"{', '.join(wrong)}: not beside TRACE_ID")
    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    if trace_ids:
        _traces(store, settings, trace_ids, as_json)
        return
    from tracesieve.analysis.profile import profile

    now = time.time_ns() // 1000
    from_us, to_us = range_us(last, start, end, now)
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    group = _group(groups, settings.group_by)
    document = profile(store, from_us, to_us, now, group=group, rule=rule)
    echo_json(document) if as_json else show(document)


def _group(groups: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in groups]
    wrong = [
        text for text, (key, equals, _) in zip(groups, pairs, strict=True) if not equals or key not in known
    ]
    if wrong:
        keys = ", ".join(known)
        raise TracesieveError(
            "\n".join(f"--group {text}: write KEY=VALUE, with a key of group_by ({keys})" for text in wrong)
        )
    return {key: value for key, _, value in pairs}


def _traces(store: Any, settings: Any, trace_ids: Sequence[str], as_json: bool) -> None:
    from tracesieve.analysis.trace_profile import profile_traces
    from tracesieve.analysis.trace_tree import drawn

    found = profile_traces(settings, store, trace_ids)
    if as_json:
        echo_json({"traces": [one.document for one in found]})
        return
    for place, one in enumerate(found):
        document = one.document
        took = "-" if document["duration_ms"] is None else f"{document['duration_ms']:,.0f} ms"
        head = f"{document['trace_id']}: {document['state'] or '-'}, {took}, {document['spans']:,} spans"
        click.echo(("\n" if place else "") + wrapped(head) + "\n")
        click.echo("\n".join(drawn(one.spans)) + "\n")
        click.echo(_table("span type", document["by_span_type"], "span_type"))
        _bottleneck(document)


def show(document: dict[str, Any]) -> None:
    """The document as tables no wider than the terminal, and a sentence."""
    first, end = (readable_time(parse_time_us(document[key])) for key in ("from", "to"))
    click.echo(f"from {first} to {end}, {document['traces']:,} traces\n")
    click.echo(_table("span type", document["by_span_type"], "span_type"))
    click.echo("\n" + _table("span name", document["by_span_name"], "span_name"))
    if document["tools"]:
        click.echo("\n" + _tools(document["tools"]))
    _bottleneck(document)
    for line in _notes(document):
        click.echo(wrapped(line))


def _bottleneck(document: dict[str, Any]) -> None:
    most = next(iter(document["by_span_name"]), None)
    if document["bottleneck"] is not None:
        click.echo("\n" + wrapped(document["bottleneck"]))
    elif most is not None and most["critical_share"]:
        name = plain(most["span_name"], 60)
        click.echo(
            "\n" + wrapped(f"No span takes half of the time; {name} the most, {most['critical_share']:.0%}.")
        )


def _notes(document: dict[str, Any]) -> list[str]:
    found = []
    if lacking := document["without_breakdown"]:
        found.append(
            f"{lacking:,} traces were counted by an earlier version, which did not look at spans: "
            "`tracesieve apply` does so for them."
        )
    if differ := document["usage_disagrees"]:
        found.append(f"{differ:,} traces have other tokens or another cost than their spans together.")
    return found


def _table(heading: str, rows: list[dict[str, Any]], key: str) -> str:
    names = [row[key] for row in rows]
    cells = [
        (
            _name(row, key, names),
            *(cell for one, cell in zip(_HEADINGS, _cells(row), strict=True) if _fits(one)),
        )
        for row in rows[:_MOST_ROWS]
    ]
    headings = (heading, *(one for one in _HEADINGS if _fits(one)))
    lines = table(headings, cells, numbers=range(1, len(headings)))
    if len(rows) > _MOST_ROWS:
        lines.append(f"and {len(rows) - _MOST_ROWS} more (--json has them all)")
    return "\n".join(lines)


_HEADINGS = ("calls", "errors", "total", "mean", "P50", "P95", "self", "path", "tokens", "USD")


def _fits(heading: str) -> bool:
    return heading != "total" or columns() >= _WIDE


def _name(row: dict[str, Any], key: str, names: list[str]) -> str:
    name = row[key] or "(no name)"
    return f"{name} ({row['span_type']})" if key == "span_name" and names.count(row[key]) > 1 else name


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    share, tokens, cost = row["critical_share"], row["tokens"]["total"], row["cost_usd"]
    return (
        _count(row["calls"]),
        _count(row["errors"]),
        *(_time(row[key]) for key in ("total_ms", "mean_ms", "p50_ms", "p95_ms", "self_ms")),
        "-" if share is None else f"{share:.0%}",
        "-" if tokens is None else _count(tokens),
        "-" if cost is None else f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.2g}",
    )


def _tools(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            row["tool"],
            _count(row["calls"]),
            f"{row['success_rate']:.1%}",
            _time(row["p50_ms"]),
            _time(row["p95_ms"]),
        )
        for row in rows[:_MOST_ROWS]
    ]
    lines = table(("tool", "calls", "success", "P50", "P95"), cells, numbers=range(1, 5))
    if len(rows) > _MOST_ROWS:
        lines.append(f"and {len(rows) - _MOST_ROWS} more (--json has them all)")
    return "\n".join(lines)


def _count(number: int) -> str:
    """A number in at most six characters."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= 100 * size or (number >= size and unit != "k"):
            return f"{number / size:,.1f}{unit}"
    return f"{number:,}"


def _time(ms: float | None) -> str:
    return "-" if ms is None else short_time(ms * 1000)

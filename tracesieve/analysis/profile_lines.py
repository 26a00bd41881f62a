"""Profiles as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rules.units import parse_time_us, readable_time
from tracesieve.analysis.where import where_lines
from tracesieve.terminal import columns, group_names, plain, short_time, table, wrapped

_MOST_ROWS = 20
_WIDE = 100  # columns of the terminal from which totals are shown too


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The document of a range as tables no wider than the terminal, and a sentence."""
    first, end = (readable_time(parse_time_us(document[key])) for key in ("from", "to"))
    yield f"from {first} to {end}, {document['traces']:,} traces\n"
    yield _table("span type", document["by_span_type"], "span_type")
    yield "\n" + _table("span name", document["by_span_name"], "span_name")
    if document["tools"]:
        yield "\n" + _tools(document["tools"])
    if document.get("groups"):
        yield "\n" + _groups(document["groups"])
    for place, text in enumerate(sentences(document)):
        yield ("" if place else "\n") + wrapped(text)


def trace_lines(document: Mapping[str, Any], tree: Sequence[str]) -> Iterator[str]:
    """The document of one trace, with its tree."""
    yield wrapped(trace_head(document)) + "\n"
    yield "\n".join(tree) + "\n"
    yield _table("span type", document["by_span_type"], "span_type")
    if (text := bottleneck_text(document)) is not None:
        yield "\n" + wrapped(text)


def trace_head(document: Mapping[str, Any]) -> str:
    """Id, state, duration and number of spans of a trace."""
    took = "-" if document["duration_ms"] is None else f"{document['duration_ms']:,.0f} ms"
    return f"{document['trace_id']}: {document['state'] or '-'}, {took}, {document['spans']:,} spans"


def bottleneck_text(document: Mapping[str, Any]) -> str | None:
    """The sentence that names what takes most of the time; None where nothing took any."""
    most = next(iter(document["by_span_name"]), None)
    if document["bottleneck"] is not None:
        return str(document["bottleneck"])
    if most is None or not most["critical_share"]:
        return None
    name = plain(most["span_name"], 60)
    return f"No span takes half of the time; {name} the most, {most['critical_share']:.0%}."


def sentences(document: Mapping[str, Any]) -> list[str]:
    """The bottleneck, and what else is to be known of the traces that were looked at."""
    text = bottleneck_text(document)
    return [*([] if text is None else [text]), *_notes(document)]


def _notes(document: Mapping[str, Any]) -> list[str]:
    found = where_lines(document["where"]) if "where" in document else []
    if lacking := document["without_breakdown"]:
        found.append(
            f"{lacking:,} traces were counted by an earlier version, which did not look at spans: "
            "`tracesieve apply` does so for them."
        )
    if differ := document["usage_disagrees"]:
        found.append(f"{differ:,} traces have other tokens or another cost than their spans together.")
    return found


def _table(heading: str, rows: Sequence[Mapping[str, Any]], key: str) -> str:
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


def _name(row: Mapping[str, Any], key: str, names: list[str]) -> str:
    name = row[key] or "(no name)"
    return f"{name} ({row['span_type']})" if key == "span_name" and names.count(row[key]) > 1 else name


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    share, tokens, cost = row["critical_share"], row["tokens"]["total"], row["cost_usd"]
    return (
        _count(row["calls"]),
        _count(row["errors"]),
        *(_time(row[key]) for key in ("total_ms", "mean_ms", "p50_ms", "p95_ms", "self_ms")),
        "-" if share is None else f"{share:.0%}",
        "-" if tokens is None else _count(tokens),
        "-" if cost is None else f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.2g}",
    )


def _tools(rows: Sequence[Mapping[str, Any]]) -> str:
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


def _groups(rows: Sequence[Mapping[str, Any]]) -> str:
    names = group_names([row["group"] for row in rows])
    cells = []
    for name, row in zip(names, rows[:_MOST_ROWS], strict=False):
        most = row["most"] or {"span_name": "-", "critical_share": None}
        share = "-" if most["critical_share"] is None else f"{most['critical_share']:.0%}"
        cells.append((name, _count(row["traces"]), _time(row["p50_ms"]), share, most["span_name"]))
    found = table(("group", "traces", "P50", "path", "most in"), cells, numbers=(1, 2, 3))
    if len(rows) > _MOST_ROWS:
        found.append(f"and {len(rows) - _MOST_ROWS} more (--json has them all)")
    return "\n".join(found)


def _time(ms: float | None) -> str:
    return "-" if ms is None else short_time(ms * 1000)

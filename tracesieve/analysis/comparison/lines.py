"""A comparison as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rules.units import parse_time_us, readable_time
from tracesieve.analysis.comparison.changes import NOT_KNOWN
from tracesieve.analysis.where import where_lines
from tracesieve.terminal import plain, short_time, table, wrapped

_MOST_ROWS = 30
HEADINGS = ("what", "where", "before", "after", "change", "sure")
WHOLE_TRACE = "(whole trace)"


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Both sides, what is listed of the changes, and what is not known."""
    *heads, last = sentences(document)
    for text in heads:
        yield wrapped(text, hang=2)
    cells = listed_cells(document)
    if cells:
        yield "\n" + "\n".join(table(HEADINGS, cells[:_MOST_ROWS], numbers=(2, 3, 4)))
    if len(cells) > _MOST_ROWS:
        yield f"and {len(cells) - _MOST_ROWS} more (--json has them all)"
    yield "\n" + wrapped(last)


def sentences(document: Mapping[str, Any]) -> list[str]:
    """Both sides, what else is to be known of them, and last what came of the comparison."""
    sides = [_side(name, document[name]) for name in ("before", "after")]
    return [*sides, *_notes(document), _summary(document)]


def listed_cells(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of :data:`HEADINGS`, a row for each change that is listed."""
    return [_cells(row) for row in document["changes"] if row["listed"]]


def _side(name: str, side: Mapping[str, Any]) -> str:
    first, end = (readable_time(parse_time_us(side[key])) for key in ("from", "to"))
    version = "" if side["version"] is None else f"version {plain(side['version'], 60)}, "
    return f"{name}: {version}{side['traces']:,} traces, {first} to {end}"


def _notes(document: Mapping[str, Any]) -> list[str]:
    found = []
    if (versions := document["versions"]) is not None:
        parts = [f"{versions['share_without']:.1%} of the traces have no {plain(versions['key'], 60)}"]
        if gone := versions["content_gone"]:
            parts.append(f"of them {gone:,} whose content is gone")
        parts.append(f"traces of other versions: {versions['other']:,}")
        found.append(", ".join(parts) + ".")
    for side in (document["before"], document["after"]):
        found += where_lines(side["where"]) if "where" in side else []
    if lacking := sum(document[side]["without_breakdown"] for side in ("before", "after")):
        found.append(
            f"{lacking:,} traces were counted by an earlier version, which did not look at spans, and are "
            "left out: `tracesieve apply` looks at them."
        )
    return list(dict.fromkeys(found))


def _summary(document: Mapping[str, Any]) -> str:
    rows = document["changes"]
    unknown = sum(row["certainty"] == NOT_KNOWN for row in rows)
    small = sum(not row["listed"] and row["certainty"] != NOT_KNOWN for row in rows)
    if not rows:
        return "There are too few traces to compare: each side needs ten."
    listed = len(rows) - unknown - small
    texts = [f"Of {len(rows):,} comparisons {listed or 'none'} {'is' if listed < 2 else 'are'} listed"]
    if small:
        texts.append(f"{small:,} found changes too small to matter")
    if unknown:
        texts.append(f"{unknown:,} found nothing that might not be chance")
    return ", ".join(texts) + " (--json has them all)."


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = (_value(row["what"], row[key]) for key in ("before", "after"))
    return (row["words"], _place(row), before, after, _change(row), row["certainty"])


def _place(row: Mapping[str, Any]) -> str:

    if row["scope"] == "trace":
        return WHOLE_TRACE
    return f"all {row['span_type']}" if row["scope"] == "span_type" else row["span_name"] or "(no name)"


def _value(what: str, value: float) -> str:
    if what.startswith("duration"):
        return short_time(value * 1000)
    if what == "failing":
        return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"
    if what == "cost":
        return f"{value:.2g} USD"
    return f"{value:,.0f}" if what == "tokens" else f"{value:,.2f}"


def _change(row: Mapping[str, Any]) -> str:
    change = row["change"]
    if change is None:
        return "-"
    return f"{change * 100:+.1f} points" if row["what"] == "failing" else f"{change:+.0%}"

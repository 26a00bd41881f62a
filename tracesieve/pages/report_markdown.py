"""A report as Markdown: short enough for a pull request or a mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rules.units import parse_time_us, readable_time
from tracesieve.pages import report_words as words
from tracesieve.pages.elements import cut_apart
from tracesieve.pages.figures import figure
from tracesieve.pages.markdown import code, link, table
from tracesieve.terminal import group_names

_MOST: Final = 10
_ALL: Final = "all"
_GROUP: Final = 200  # characters of a group's name


def markdown(document: Mapping[str, Any]) -> str:
    """The document as Markdown, content of traces escaped."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    first, end = (readable_time(parse_time_us(document[key]), "minutes") for key in ("from", "to"))
    yield f"## Traces from {first} to {end}"
    if document.get("where"):
        yield from ("", f"Where {code(document['where'])}")
    yield ""
    yield _sentence(document)
    yield from _groups(document)
    yield from _spikes(document)
    yield from _patterns(document)
    yield from _slow(document)
    yield from _hot_spots(document)
    yield from _candidates(document)
    through = document["freshness"]["final_through"]
    counted = "not everything has been read yet" if through is None else f"counted through {through[:16]}Z"
    yield from ("", f"<sub>{counted}</sub>")


def _sentence(document: Mapping[str, Any]) -> str:
    parts = [
        f"**{document['traces']:,}** traces",
        f"**{figure(document['error_rate'], 'share')}** failed ({document['errors']:,})",
        f"P50 **{figure(document['p50_ms'], 'ms')}**, P95 **{figure(document['p95_ms'], 'ms')}**",
    ]
    if document["tokens"]["total"] is not None:
        parts.append(f"{document['tokens']['total']:,} tokens")
    if document["cost_usd"] is not None:
        parts.append(figure(document["cost_usd"], "usd"))
    return " · ".join(parts)


def _groups(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["groups"]
    if len(rows) < 2:
        return
    names = cut_apart(group_names([one["group"] for one in rows], taken=[_ALL]), _GROUP)
    cells = [
        (
            code(name),
            f"{row['traces']:,}",
            figure(row["error_rate"], "share"),
            *(figure(row[key], "ms") for key in ("p50_ms", "p95_ms")),
            figure(row["tokens"]["total"], "count"),
            figure(row["cost_usd"], "usd"),
        )
        for name, row in list(zip(names, rows, strict=True))[:_MOST]
    ]
    yield ""
    headings = ("group", "traces", "errors", "P50", "P95", "tokens", "cost")
    yield from table(headings, cells, numbers=range(1, 7))
    yield from _more(len(rows), "groups")


def _more(number: int, what: str) -> Iterator[str]:
    if number > _MOST:
        yield from ("", f"and {number - _MOST:,} more {what}")


def _spikes(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["spikes"]
    if rows:
        yield from ("", "### Spikes", "")
    for row in rows[:_MOST]:
        yield f"- **{words.span_of_time(row)} UTC**: {words.spike(row)}"
        for one in row["changed"][:3]:
            value, numbers = words.change(one, row)
            yield f"  - {code(value, 120)} {numbers}"
    yield from _more(len(rows), "spikes")


def _patterns(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["error_patterns"]
    if not rows:
        return
    cells = [
        (
            f"{row['traces']:,}",
            figure(row["share"], "share"),
            row["state"] or "-",
            code(words.pattern(row)),
            code(row["span_name"], 80) if row["span_name"] else "-",
            _example(row),
        )
        for row in rows[:_MOST]
    ]
    yield from ("", "### Error patterns", "")
    yield from table(("traces", "share", "state", "pattern", "where", "example"), cells, numbers=(0, 1))
    yield from _more(len(rows), "patterns")


def _example(row: Mapping[str, Any]) -> str:
    """The newest sample: the beginning of its request, with a link to the trace."""
    newest = next(iter(row["sample_inputs"]), None)
    return "-" if newest is None else link(code(newest["request"] or newest["trace_id"], 80), newest["url"])


def _slow(document: Mapping[str, Any]) -> Iterator[str]:
    rows, slow = document["slow_patterns"], document["slow"]
    if not rows:
        return
    cells = [
        (
            f"{row['traces']:,}",
            figure(row["share"], "share"),
            code(row["span_name"] or "(no name)", 120),
            figure(row["critical_share"], "share"),
            figure(row["p95_ms"], "ms"),
            _example(row),
        )
        for row in rows[:_MOST]
    ]
    yield from ("", f"### Slow traces: {slow['traces']:,} above {figure(slow['above_ms'], 'ms')}", "")
    headings = ("traces", "share", "most time in", "of their time", "P95", "example")
    yield from table(headings, cells, numbers=(0, 1, 3, 4))
    yield from _more(len(rows), "spans")


def _hot_spots(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["hot_spots"]["by_span_name"]
    if not rows:
        return
    cells = [
        (
            code(row["span_name"] or "(no name)", 120),
            figure(row["tokens"], "count"),
            figure(row["tokens_share"], "share"),
            figure(row["cost_usd"], "usd"),
            figure(row["cost_share"], "share"),
        )
        for row in rows[:_MOST]
    ]
    yield from ("", "### Tokens and cost", "")
    yield from table(("span", "tokens", "share", "cost", "share"), cells, numbers=range(1, 5))
    yield from _more(len(rows), "spans")


def _candidates(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["categories"]
    if not rows:
        return
    names = ("matched", "tagged", "in_set", "records")
    cells = [(code(row["category"]), *(figure(row[name], "count") for name in names)) for row in rows]
    yield from ("", "### Candidates", "")
    yield from table(("category", "matched", "tagged", "in the set", "records"), cells, numbers=range(1, 5))

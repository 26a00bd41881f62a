"""A report for a person at the terminal, no wider than it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rules.units import DAY_US, HOUR_US, SECOND_US, duration_text, parse_time_us, readable_time
from tracesieve.analysis import candidates
from tracesieve.pages import report_words as words
from tracesieve.pages.figures import figure
from tracesieve.terminal import fitted, group_names, plain, table, wrapped

_MOST_GROUPS: Final = 21
_MOST_PATTERNS: Final = 10
_MOST_SPIKES: Final = 5
_MOST_CHANGES: Final = 3
_MOST_SPANS: Final = 5
_LONGEST_TEXT: Final = 150
_BARS: Final = "▁▂▃▄▅▆▇█"
_ALL: Final = "all"  # the name of the row of all groups


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The document as tables and paragraphs, the most important first."""
    blank = False
    for line in _parts(document):
        if line or not blank:
            yield line
        blank = not line


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    """The parts with a blank line before each, also before one in which nothing is."""
    first, end = (readable_time(parse_time_us(document[key])) for key in ("from", "to"))
    yield f"from {first} to {end}"
    if document.get("where"):
        yield fitted(f"where {document['where']}")
    if gone := document.get("selected", {}).get("gone"):
        yield wrapped(f"of {gone:,} traces the content is gone: whether they match is not known")
    yield ""
    yield from _groups(document)
    yield from _by_time(document)
    yield from _spikes(document)
    yield ""
    yield from patterns(document)
    yield from _slow(document)
    yield from _hot_spots(document)
    yield ""
    yield from candidates.lines(document)
    yield from _datasets(document)
    for sample in document["error_samples"][:3]:
        yield wrapped(f"error: {sample['trace_id']} {sample['error'] or ''}"[:_LONGEST_TEXT].rstrip(), "  ")
    yield _fresh(document["freshness"])


def _groups(document: Mapping[str, Any]) -> Iterator[str]:
    names = group_names([one["group"] for one in document["groups"]], taken=[_ALL])
    groups = zip(names, document["groups"], strict=True)
    rows = [_row(_ALL, document), *(_row(name, one) for name, one in groups)]
    headings = ("group", "traces", "errors", "rate", "P50 ms", "P95 ms", "tokens", "USD")
    yield from table(headings, rows[:_MOST_GROUPS], numbers=range(1, len(headings)))
    if len(rows) > _MOST_GROUPS:
        yield f"and {len(rows) - _MOST_GROUPS} more groups (--json has them all)"
    if tokens := _tokens(document["tokens"]):
        yield wrapped(tokens)


def _row(name: str, numbers: Mapping[str, Any]) -> tuple[str, ...]:
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


def _tokens(tokens: Mapping[str, int | None]) -> str:
    """The tokens by kind, as far as they are known; empty where none of a cache is."""
    read, written = tokens["cache_read"], tokens["cache_write"]
    if read is None and written is None:
        return ""
    kinds = ("input", "output")
    known = [f"{name} {tokens[name]:,}" for name in kinds if tokens[name] is not None]
    of_cache = [("read from a cache", read), ("written to one", written)]
    parts = [f"{number:,} {what}" for what, number in of_cache if number is not None]
    return f"tokens: {', '.join(known)}; of the input {', '.join(parts)}"


def _by_time(document: Mapping[str, Any]) -> Iterator[str]:
    """A line of small bars each for what the plots of the page show."""
    rows, step_s = document["by_time"], document["step_s"]
    if len(rows) < 2 or not document["traces"]:
        return
    yield ""
    named = {HOUR_US: "hour", DAY_US: "day"}.get(step_s * SECOND_US)
    yield f"by {named or duration_text(step_s * SECOND_US)}"
    shown = {
        "traces": ([row["traces"] for row in rows], "count"),
        "errors": ([row["error_rate"] for row in rows], "share"),
        "P95": ([row["p95_ms"] for row in rows], "ms"),
    }
    for name, (values, unit) in shown.items():
        highest = max((value for value in values if value is not None), default=0)
        yield f"  {name:<7} {bars(values)}  at most {figure(highest, unit)}"


def bars(values: Sequence[float | None]) -> str:
    """A character for each value, from 0 to the highest: nothing known is a space, 0 is a dot."""
    highest = max((value for value in values if value is not None), default=0) or 1
    return "".join(_bar(value, highest) for value in values)


def _bar(value: float | None, highest: float) -> str:
    if not value:
        return " " if value is None else "."
    return _BARS[min(int(value / highest * len(_BARS)), len(_BARS) - 1)]


def _spikes(document: Mapping[str, Any]) -> Iterator[str]:
    for row in document["spikes"][:_MOST_SPIKES]:
        yield ""
        yield wrapped(f"spike {words.span_of_time(row)}: {words.spike(row)}", hang=2)
        for one in row["changed"][:_MOST_CHANGES]:
            value, numbers = words.change(one, row)
            yield wrapped(f"{plain(value, 60)} {numbers}", "    ", hang=6)
        if not row["changed"]:
            yield "    no value of a group, span, tool or pattern stands out in it"
    if len(document["spikes"]) > _MOST_SPIKES:
        yield f"and {len(document['spikes']) - _MOST_SPIKES} more spikes (--json has them all)"


def patterns(document: Mapping[str, Any]) -> Iterator[str]:
    """The most frequent error patterns."""
    rows, numbers = document["error_patterns"], document["failures"]
    if rows:
        handled = f", {numbers['handled']:,} in traces that ended well" if numbers["handled"] else ""
        yield fitted(f"failures: {sum(row['traces'] for row in rows):,}{handled}")
    for row in rows[:_MOST_PATTERNS]:
        since = readable_time(parse_time_us(row["first_seen"]), "minutes")
        state = f"{row['state'] or '':<7}"
        yield fitted(f"{row['traces']:>7,} {row['share']:>4.0%}  {state}  since {since}  {words.place(row)}")
        yield wrapped(plain(words.pattern(row), _LONGEST_TEXT), " " * 8)
    if len(rows) > _MOST_PATTERNS:
        yield f"and {len(rows) - _MOST_PATTERNS} more patterns (--json has them all)"
    if numbers["unknown"]:
        text = (
            f"{numbers['unknown']:,} failed traces were counted by an older version, which did not look for"
        )
        yield wrapped(f"{text} their failures; `tracesieve apply` does")


def _slow(document: Mapping[str, Any]) -> Iterator[str]:
    slow, rows = document["slow"], document["slow_patterns"]
    if not slow["traces"]:
        return
    yield ""
    yield f"slow: {slow['traces']:,} traces above {figure(slow['above_ms'], 'ms')}, most time in"
    for row in rows[:_MOST_SPANS]:
        of = f"{row['critical_share']:.0%} of their time, P95 {figure(row['p95_ms'], 'ms')}"
        yield fitted(f"{row['traces']:>7,} {row['share']:>4.0%}  {plain(row['span_name'], 40)}: {of}")
    if slow["unknown"]:
        yield f"{slow['unknown']:>7,}       spans not known"


def _hot_spots(document: Mapping[str, Any]) -> Iterator[str]:
    rows = document["hot_spots"]["by_span_name"][:_MOST_SPANS]
    if not rows:
        return
    cells = [
        (
            plain(row["span_name"] or "(no name)"),
            figure(row["tokens"], "count"),
            figure(row["tokens_share"], "share"),
            "-" if row["cost_usd"] is None else f"{row['cost_usd']:,.2f}",
            figure(row["cost_share"], "share"),
        )
        for row in rows
    ]
    yield ""
    yield from table(("hot spots", "tokens", "share", "USD", "share"), cells, numbers=range(1, 5))


def _datasets(document: Mapping[str, Any]) -> Iterator[str]:
    for row in document.get("datasets", ()):
        name = plain(row["name"], 50)
        version = f"version {row['version'][:12]}" if row["version"] else "no version yet"
        yield fitted(f"dataset {name}: {row['records']:,} records of {row['sources']:,} traces, {version}")


def _fresh(fresh: Mapping[str, Any]) -> str:
    counts = ", ".join(
        f"{name.replace('_', ' ')} {value:,}" for name, value in fresh.items() if name != "final_through"
    )
    through = fresh["final_through"]
    until = (
        "not everything has been read yet"
        if through is None
        else f"counted through {readable_time(parse_time_us(through))}"
    )
    return wrapped(f"{until}; {counts}")

"""What changed when traces went wrong: values of groups, spans, tools and failure patterns that the affected
traces have more often than is to be expected.

Expected of a value is its share among the affected traces before, filled up to :data:`FILLED` traces with its
share among all traces before, so that a few failures before do not count for more than they can say. Values
are ranked by the log-likelihood ratio G of the affected traces against that share (Dunning, 1993): a value
that is in all affected traces and was in few before comes first, one that is in all traces anyway gets
nothing.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tracesieve.analysis.bottleneck import short_name

AFFECTED, NOW = "_affected", "_now"  # columns: whether a trace is affected, and whether it is of the spike
MOST: Final = 10
FILLED: Final = 20
LEVEL: Final = 0.01
LEAST_LIFT: Final = 1.2
FEWEST: Final = 3
_KINDS: Final = ("group", "tool", "span", "pattern")  # where two values explain the same, causes come first
Numbers = list[int]  # of traces: affected now, all now, affected before, all before
Value = tuple[str, str, str]  # kind, key, value


@dataclass(frozen=True)
class _Whole:
    affected: int
    traces: int
    affected_before: int
    traces_before: int


def changes(facts: pl.DataFrame) -> list[dict[str, Any]]:
    """At most :data:`MOST` values, the most telling first.

    A row has ``kind`` (``group``, ``span``, ``tool`` or ``pattern``), ``key`` (the key of the group, the type
    of the span), ``value``, ``state`` (``appears`` where no trace before had it, else ``grows``),
    ``affected`` and ``traces`` with it in the spike, ``affected_before`` and ``traces_before`` with it
    before, ``lift`` (its share among the affected by the expected share) and ``p_value``. Of a pattern
    ``text`` is what it says.

    ``facts`` have ``group_by``, ``group``, ``span_keys``, ``merged``, ``text``, :data:`AFFECTED` and
    :data:`NOW`.
    """
    whole = _Whole(*_counted(facts, []).row(0))
    if not whole.affected or not whole.traces_before:
        return []
    found = _values(facts)
    rows = [
        {"kind": kind, "key": key, "value": value, **judged}
        for (kind, key, value), numbers in found.items()
        if (judged := _judged(numbers, whole, len(found))) is not None
    ]
    texts = dict(facts.filter(pl.col("merged").is_not_null()).select("merged", "text").unique().iter_rows())
    rows = [{**row, "text": texts[row["value"]]} if row["kind"] == "pattern" else row for row in rows]
    rows.sort(key=lambda row: (-row["_score"], _KINDS.index(row["kind"]), row["key"], row["value"]))
    return [{name: one for name, one in row.items() if name != "_score"} for row in rows[:MOST]]


def _judged(numbers: Numbers, whole: _Whole, values: int) -> dict[str, Any] | None:
    """The numbers of a value that is more frequent among the affected than chance makes it; else None."""
    affected, traces, affected_before, traces_before = numbers
    filled = max(FILLED - whole.affected_before, 0)
    expected = (affected_before + filled * traces_before / whole.traces_before + 0.5) / (
        whole.affected_before + filled + 1
    )
    share = affected / whole.affected
    if affected < FEWEST or share < LEAST_LIFT * expected:
        return None
    score = 2 * whole.affected * _divergence(share, expected)
    p_value = min(math.erfc(math.sqrt(score / 2)) * values, 1.0)
    if p_value > LEVEL:
        return None
    return {
        "state": "grows" if traces_before else "appears",
        "affected": affected,
        "traces": traces,
        "affected_before": affected_before,
        "traces_before": traces_before,
        "lift": share / expected,
        "p_value": p_value,
        "_score": score,
    }


def _divergence(share: float, expected: float) -> float:
    rest = (1 - share) * math.log((1 - share) / (1 - expected)) if share < 1 else 0.0
    return share * math.log(share / expected) + rest


def _values(facts: pl.DataFrame) -> dict[Value, Numbers]:
    """How many traces have each value; a value counts once a trace."""
    found: dict[Value, Numbers] = defaultdict(lambda: [0, 0, 0, 0])
    for keys, group, *numbers in _counted(facts, ["group_by", "group"]).iter_rows():
        for key, value in zip(keys or (), group or (), strict=True):
            _add(found["group", key, value], numbers)
    for text, *numbers in _counted(facts, ["span_keys"]).iter_rows():
        for value in dict.fromkeys(_spans(text)):
            _add(found[value], numbers)
    for pattern, *numbers in _counted(facts, ["merged"]).iter_rows():
        if pattern is not None:
            _add(found["pattern", "", pattern], numbers)
    return found


def _counted(facts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    affected, now = pl.col(AFFECTED), pl.col(NOW)
    sums = [(affected & now).sum(), now.sum(), (affected & ~now).sum(), (~now).sum()]
    named = [one.cast(pl.Int64).alias(str(place)) for place, one in enumerate(sums)]
    return facts.group_by(*by).agg(*named) if by else facts.select(named)


def _spans(text: str | None) -> Iterator[Value]:
    """The spans of a trace as values: a tool by its short name, another by type and name."""
    for kind, name in json.loads(text) if text else ():
        yield ("tool", "", short_name(name)) if kind == "TOOL" else ("span", kind, name)


def _add(to: Numbers, numbers: Sequence[int]) -> None:
    for place, number in enumerate(numbers):
        to[place] += number

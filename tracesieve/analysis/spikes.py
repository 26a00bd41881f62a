"""Spikes: steps of a range whose error rate, P95, tokens or cost stand out of the range's own usual, and what
changed then (``tracesieve.analysis.changes``).

Each measure is judged as a number of affected traces: the failed ones, or those above the usual P95 (of
duration, tokens, cost), which is the median of the steps' own. So one test serves all of them; see
``tracesieve.analysis.outliers``. Tokens and cost are those of a trace: more traffic alone is no spike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tracesieve.analysis.changes import AFFECTED, NOW, changes
from tracesieve.analysis.outliers import FEWEST_STEPS, outliers
from tracesieve.analysis.report_steps import STEP, Steps
from tracesieve.json_output import iso

_P95: Final = 0.95
_FEWEST_TRACES: Final = 20  # of a step whose P95 says something of the usual one
_FEWEST_BEFORE: Final = 50  # traces to compare with
_KEPT: Final = ("group_by", "group", "span_keys", "merged", "text", AFFECTED, NOW)


@dataclass(frozen=True)
class Measure:
    """What may stand out: its name in the document, what it is made of, and the least factor that counts."""

    name: str
    column: str
    divided_by: float
    least_ratio: float


MEASURES: Final = (
    Measure("error_rate", "error", 1, 1.5),
    Measure("p95_ms", "duration_us", 1e3, 1.2),
    Measure("p95_tokens", "tokens_total", 1, 1.2),
    Measure("p95_cost_usd", "cost_nusd", 1e9, 1.2),
)


def spikes(facts: pl.DataFrame, steps: Steps) -> list[dict[str, Any]]:
    """A row for each spike, the one with the most traces beyond the usual first.

    A row has ``measure``, ``from`` and ``to`` (steps one after the other are one spike), ``value`` and
    ``usual`` of the measure, ``traces`` of the spike and how many of them are ``affected``, how many of as
    many traces usually are (``expected``), ``p_value``, ``compared_with`` (``before``, or ``after`` where
    little was before), and what ``changed``, the most telling first.

    ``facts`` have :data:`STEP`; ``merged`` and ``text`` name the pattern of each failure, null for none.
    """
    found = [row for measure in MEASURES for row in _of_measure(facts, steps, measure)]
    return sorted(found, key=lambda row: (row["expected"] - row["affected"], row["from"], row["measure"]))


def _of_measure(facts: pl.DataFrame, steps: Steps, measure: Measure) -> list[dict[str, Any]]:
    known = facts.filter(pl.col(measure.column).is_not_null())
    limit = _limit(known, measure)
    if limit is None:
        return []
    marked = known.with_columns(_is_affected(measure, limit).alias(AFFECTED))
    of_steps = marked.group_by(STEP).agg(pl.len().alias("n"), pl.col(AFFECTED).sum().alias("k"))
    traces, affected = [0] * steps.number, [0] * steps.number
    for step, n, k in of_steps.iter_rows():
        traces[step], affected[step] = n, k
    # A value above the usual P95 is rare by definition: that many more of them are a real shift.
    least = measure.least_ratio if measure.column == "error" else 1.0
    out = outliers(traces, affected, least_ratio=least, measures=len(MEASURES))
    if not out:
        return []
    usual = marked.filter(~pl.col(STEP).is_in([one.step for one in out]))
    rows = []
    for first, last in _runs([one.step for one in out]):
        inside = marked.filter(pl.col(STEP).is_between(first, last))
        value, normal = _value(inside, measure), _value(usual, measure)
        if value < measure.least_ratio * normal:
            continue
        rate = out[0].usual
        rows.append(
            {
                "measure": measure.name,
                "from": iso(steps.edges_us(first)[0]),
                "to": iso(steps.edges_us(last)[1]),
                "value": value,
                "usual": normal,
                "traces": inside.height,
                "affected": int(inside[AFFECTED].sum()),
                "expected": round(inside.height * rate, 1),
                "p_value": min(one.p_value for one in out if first <= one.step <= last),
                **_compared(inside, usual, first),
            }
        )
    return rows


def _limit(known: pl.DataFrame, measure: Measure) -> float | None:
    """Above which value a trace is affected; None where there is nothing usual to speak of."""
    if measure.column == "error":
        return 0.0
    highest = pl.col(measure.column).quantile(_P95, "higher").alias("high")
    of_steps = known.group_by(STEP).agg(highest, pl.len().alias("n")).filter(pl.col("n") >= _FEWEST_TRACES)
    if of_steps.height < FEWEST_STEPS:
        return None
    middle: Any = of_steps["high"].median()
    return float(middle)


def _is_affected(measure: Measure, limit: float) -> pl.Expr:
    return pl.col("error") if measure.column == "error" else pl.col(measure.column) > limit


def _value(facts: pl.DataFrame, measure: Measure) -> float:
    if facts.is_empty():
        return 0.0
    column = facts[measure.column]
    value: Any = column.mean() if measure.column == "error" else column.quantile(_P95, "higher")
    return float(value) / measure.divided_by


def _runs(steps: list[int]) -> list[tuple[int, int]]:
    """First and last of the steps that follow one another."""
    found: list[tuple[int, int]] = []
    for step in steps:
        if found and found[-1][1] == step - 1:
            found[-1] = (found[-1][0], step)
        else:
            found.append((step, step))
    return found


def _compared(inside: pl.DataFrame, usual: pl.DataFrame, first: int) -> Mapping[str, Any]:
    """What changed between the usual traces before the spike and those in it."""
    before, word = usual.filter(pl.col(STEP) < first), "before"
    if before.height < _FEWEST_BEFORE:
        before, word = usual.filter(pl.col(STEP) > first), "after"
    both = pl.concat(
        [
            part.with_columns(pl.lit(now).alias(NOW)).select(_KEPT)
            for part, now in ((inside, True), (before, False))
        ]
    )
    return {"compared_with": word, "others": before.height, "changed": changes(both)}

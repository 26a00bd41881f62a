"""A range of time in steps that fit it: an hour each for a day, and the numbers of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from rules.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tracesieve.analysis.measures import measures
from tracesieve.json_output import iso

MOST_STEPS: Final = 48
STEP: Final = "_step"  # the column that numbers the step of a fact
_LENGTHS_US: Final = (
    MINUTE_US,
    5 * MINUTE_US,
    15 * MINUTE_US,
    HOUR_US,
    3 * HOUR_US,
    6 * HOUR_US,
    DAY_US,
    7 * DAY_US,
)


@dataclass(frozen=True)
class Steps:
    """The steps of the range [``from_us``, ``to_us``): they begin at multiples of their length, UTC; the
    first and the last may be cut off by the range.
    """

    from_us: int
    to_us: int
    length_us: int

    @property
    def number(self) -> int:
        """How many there are."""
        return -(-self.to_us // self.length_us) - self.from_us // self.length_us

    def edges_us(self, step: int) -> tuple[int, int]:
        """Where a step begins and ends, within the range."""
        begin = (self.from_us // self.length_us + step) * self.length_us
        return max(begin, self.from_us), min(begin + self.length_us, self.to_us)

    def column(self) -> pl.Expr:
        """The step of a fact, from 0, as the column :data:`STEP`."""
        first = self.from_us // self.length_us
        return (pl.col("end_us") // self.length_us - first).cast(pl.Int32).alias(STEP)


def steps_of(from_us: int, to_us: int) -> Steps:
    """At most :data:`MOST_STEPS` steps of the range: of minutes, hours, days, of a range of years weeks."""
    for length_us in _LENGTHS_US:
        found = Steps(from_us, to_us, length_us)
        if found.number <= MOST_STEPS:
            return found
    weeks = -(-(to_us - from_us) // (_LENGTHS_US[-1] * (MOST_STEPS - 1)))
    return Steps(from_us, to_us, weeks * _LENGTHS_US[-1])


def by_time(facts: pl.DataFrame, steps: Steps) -> dict[str, Any]:
    """``step_s`` and ``by_time``: a row for every step, also where no trace ended, with its numbers.

    ``facts`` have :data:`STEP` and their buckets.
    """
    found = {key[0]: one for key, one in measures(facts, [STEP]).items()}
    (nothing,) = measures(facts.clear(), []).values()
    rows = []
    for step in range(steps.number):
        begin, end = steps.edges_us(step)
        rows.append({"from": iso(begin), "to": iso(end), **found.get(step, nothing)})
    return {"step_s": steps.length_us // SECOND_US, "by_time": rows}


def counts(facts: pl.DataFrame, steps: Steps) -> list[int]:
    """How many of the facts ended in each step."""
    found: Sequence[tuple[int, int]] = facts.group_by(STEP).len().rows()
    known = dict(found)
    return [known.get(step, 0) for step in range(steps.number)]

"""Entries of many traces added up: one sum of each kind, and one histogram of durations, a type and name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from rules.alerting.histogram import bucket_index, quantile_us
from rules.breakdown.arrays import Ints
from rules.breakdown.columns import SUMS
from rules.breakdown.entries import Entries

_CALLS, _TOTAL = SUMS.index("calls"), SUMS.index("total_us")
_MOST = 2.0**62
Pair = tuple[str, str]  # type, name


@dataclass
class Total:
    """What all spans of one kind come to; ``sums`` by the names of :data:`rules.breakdown.columns.SUMS`,
    without those that nothing is known of, and ``durations`` as a histogram.
    """

    sums: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)

    def add(self, other: Total) -> None:
        """Add another one in place."""
        for name, value in other.sums.items():
            self.sums[name] += value
        for index, count in other.durations.items():
            self.durations[index] += count

    @property
    def timed(self) -> int:
        """How many of the calls have a duration."""
        return sum(self.durations.values())

    def quantile_us(self, q: float) -> float | None:
        """The q-quantile of durations (µs), None where no duration is known."""
        return quantile_us(self.durations, q)


def totals(found: Entries, into: dict[Pair, Total] | None = None) -> dict[Pair, Total]:
    """Entries added up by type and name, to what is in ``into`` already; integers, the same in any order."""
    result = {} if into is None else into
    codes, places = np.unique(found.pairs[:, 0] * len(found.names) + found.pairs[:, 1], return_inverse=True)
    places = places.reshape(-1)
    kinds = []
    for code in codes.tolist():
        one, other = divmod(code, len(found.names))
        kinds.append(result.setdefault((found.types[one], found.names[other]), Total()))
    for name, values in zip(SUMS, found.sums, strict=True):
        known = np.flatnonzero(values >= 0)
        summed = _summed(places[known], values[known], len(codes))
        number = np.bincount(places[known], minlength=len(codes))
        for place in np.flatnonzero(number).tolist():
            kinds[place].sums[name] += summed[place]
    for place, index, count in _durations(found, places):
        kinds[place].durations[index] += count
    return result


def _summed(places: Ints, values: Ints, size: int) -> list[int]:
    """Values added up by place, however large they are."""
    fits = float(values.sum(dtype=np.float64)) < _MOST
    found = np.zeros(size, np.int64 if fits else object)
    np.add.at(found, places, values if fits else values.astype(object))
    whole: list[int] = found.tolist()
    return whole


def _durations(found: Entries, places: Ints) -> list[list[int]]:
    """Rows of place, bucket and count."""
    calls, total = found.sums[_CALLS], found.sums[_TOTAL]
    single = np.flatnonzero((calls == 1) & (total >= 0))
    keys = places[single] << 16 | bucket_index(total[single]).astype(np.int64) + 1
    keys, counts = np.unique(keys, return_counts=True)
    singles = np.stack([keys >> 16, (keys & 0xFFFF) - 1, counts], axis=1)
    several = np.column_stack([places[found.buckets[:, 0]], found.buckets[:, 1:]])
    rows: list[list[int]] = np.concatenate([singles, several]).tolist()
    return rows


def by_type(of_pairs: dict[Pair, Total]) -> dict[str, Total]:
    """The same by type alone."""
    found: dict[str, Total] = {}
    for (kind, _), total in of_pairs.items():
        found.setdefault(kind, Total()).add(total)
    return found

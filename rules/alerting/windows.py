"""Windows of one group: one-minute partials in memory, and reading their sums over the windows of many
instants.

The window at instant e of a size holds the minutes in [e - size, e) (SEMANTICS 14).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rules.alerting.histogram import add, bucket_value_us
from rules.alerting.sums import MEASURED, QUANTILES, Floats, Ints, Window, WindowSums, sums_of
from rules.units import MINUTE_US


class WindowReader(Protocol):
    """What an alert rule reads: the windows of one group."""

    def read(
        self, size_us: int, instants: range, quantiles: Iterable[str] = ()
    ) -> tuple[list[int], WindowSums]:
        """The instants whose window holds anything, and the sums of those windows with these quantiles."""
        ...


@dataclass
class GivenWindows:
    """A reader of windows that were added up before, by instant; they are of whatever size is asked for."""

    windows: Mapping[int, Window]

    def read(
        self, size_us: int, instants: range, quantiles: Iterable[str] = ()
    ) -> tuple[list[int], WindowSums]:
        """As :class:`WindowReader` says."""
        at = [instant for instant in instants if instant in self.windows]
        return at, sums_of([self.windows[instant] for instant in at])


@dataclass
class _Minute:
    sums: list[int]
    counts: dict[int, int] = field(default_factory=dict)

    def is_nothing(self) -> bool:
        return not any(self.sums) and not self.counts


class Minutes:
    """One-minute partials of one group, by the minute's start (µs)."""

    def __init__(self) -> None:
        self._by_start: dict[int, _Minute] = {}

    def __bool__(self) -> bool:
        return bool(self._by_start)

    def add(self, start_us: int, sums: Sequence[int], index: Sequence[int], count: Sequence[int]) -> None:
        """Add a partial, its sums in the order of :data:`MEASURED`; a minute that comes to nothing is
        dropped.
        """
        minute = self._by_start.setdefault(start_us, _Minute([0] * len(MEASURED)))
        minute.sums = [a + b for a, b in zip(minute.sums, sums, strict=True)]
        add(minute.counts, index, count)
        if minute.is_nothing():
            del self._by_start[start_us]

    def forget_before(self, start_us: int) -> None:
        """Drop minutes that begin before ``start_us``."""
        for start in [start for start in self._by_start if start < start_us]:
            del self._by_start[start]

    def read(
        self, size_us: int, instants: range, quantiles: Iterable[str] = ()
    ) -> tuple[list[int], WindowSums]:
        """As :class:`WindowReader` says."""
        first = instants.start - size_us
        places = (
            [start for start in range(first, instants.stop, MINUTE_US) if start in self._by_start]
            if len(instants) * instants.step // MINUTE_US < len(self._by_start)
            else sorted(start for start in self._by_start if first <= start < instants.stop)
        )
        if not places:
            return [], WindowSums(np.zeros((0, len(MEASURED)), dtype=np.int64), {})
        starts = np.array(places, dtype=np.int64)
        ends = np.arange(instants.start, instants.stop, instants.step, dtype=np.int64)
        low, high = np.searchsorted(starts, ends - size_us), np.searchsorted(starts, ends)
        kept = np.flatnonzero(high > low)
        low, high = low[kept], high[kept]
        sums = _differences(
            np.array([self._by_start[start].sums for start in places], dtype=np.int64), low, high
        )
        return ends[kept].tolist(), WindowSums(sums, self._quantiles(places, low, high, tuple(quantiles)))

    def _quantiles(
        self, places: list[int], low: Ints, high: Ints, names: tuple[str, ...]
    ) -> dict[str, Floats]:
        if not names:
            return {}
        buckets = sorted({bucket for start in places for bucket in self._by_start[start].counts})
        column = {bucket: i for i, bucket in enumerate(buckets)}
        counts = np.zeros((len(places), max(len(buckets), 1)), dtype=np.int64)
        for row, start in enumerate(places):
            for bucket, n in self._by_start[start].counts.items():
                counts[row, column[bucket]] = n
        values = np.array([bucket_value_us(bucket) / 1000 for bucket in buckets] or [np.nan])
        cumulated = np.cumsum(_differences(counts, low, high), axis=1)
        total = cumulated[:, -1] if len(cumulated) else np.zeros(0, dtype=np.int64)
        found = {}
        for name in names:
            # The same rank as in rules.alerting.histogram.quantile_us.
            rank = np.maximum(1, np.ceil(QUANTILES[name] * total - 1e-9))
            place = (
                np.argmax(cumulated >= rank[:, None], axis=1)
                if len(cumulated)
                else np.zeros(0, dtype=np.int64)
            )
            found[name] = np.where(total > 0, values[place], np.nan)
        return found


def _differences(rows: Ints, low: Ints, high: Ints) -> Ints:
    """Sums of ``rows[low:high]`` for each pair."""
    cumulated = np.vstack([np.zeros((1, rows.shape[1]), dtype=np.int64), np.cumsum(rows, axis=0)])
    return np.asarray(cumulated[high] - cumulated[low])

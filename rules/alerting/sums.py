"""Sums over windows of one group: columns of what was counted, one item a window, and the measures they give.

``Minutes`` keeps one-minute partials of a group and adds them up over the windows of many instants at once;
the same columns can be made from single windows (:func:`columns_of`), which is how the plain fold and its
tests see them. Counts and sums are integers; only the measures are floating.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rules.alerting.histogram import add, bucket_value_us, quantile_us
from rules.units import MINUTE_US

QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
SUMS = ("traces", "errors", "tokens", "tokens_known", "cost_nusd", "cost_known")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """The sums of one window of one group; ``counts`` is its histogram of durations (µs)."""

    traces: int
    errors: int
    counts: Mapping[int, int]
    tokens: int = 0
    tokens_known: int = 0
    cost_nusd: int = 0
    cost_known: int = 0


@dataclass(frozen=True)
class Columns:
    """Many windows: ``sums`` has one row a window in the order of :data:`SUMS`; ``quantiles`` are ms, NaN
    where none.
    """

    sums: Ints
    quantiles: Mapping[str, npt.NDArray[np.float64]]

    def measures(self) -> dict[str, npt.NDArray[np.float64]]:
        """The measures that conditions may name; rates and quantiles of nothing, and sums nobody knew, are
        NaN.
        """
        traces, errors, tokens, tokens_known, cost, cost_known = self.sums.T.astype(np.float64)
        none = np.full(len(traces), np.nan)
        found = {
            "traces": traces,
            "errors": errors,
            "error_rate": np.divide(errors, traces, out=none.copy(), where=traces > 0),
            "tokens": np.where(tokens_known > 0, tokens, np.nan),
            "cost_usd": np.where(cost_known > 0, cost / 1e9, np.nan),
        }
        return found | {name: self.quantiles.get(name, none) for name in QUANTILES}


def columns_of(windows: Sequence[Window]) -> Columns:
    """Single windows as columns."""
    sums = np.array([[getattr(window, name) for name in SUMS] for window in windows], dtype=np.int64).reshape(
        -1, len(SUMS)
    )
    quantiles = {}
    for name, q in QUANTILES.items():
        values = [quantile_us(window.counts, q) for window in windows]
        quantiles[name] = np.array(
            [np.nan if value is None else value / 1000 for value in values], dtype=np.float64
        )
    return Columns(sums, quantiles)


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
        """Add a partial; one that comes to nothing is forgotten."""
        minute = self._by_start.setdefault(start_us, _Minute([0] * len(SUMS)))
        minute.sums = [a + b for a, b in zip(minute.sums, sums, strict=True)]
        add(minute.counts, index, count)
        if minute.is_nothing():
            del self._by_start[start_us]

    def first_us(self) -> int | None:
        """The earliest minute that holds anything."""
        return min(self._by_start, default=None)

    def forget_before(self, start_us: int) -> None:
        """Drop minutes that begin before ``start_us``."""
        for start in [start for start in self._by_start if start < start_us]:
            del self._by_start[start]

    def windows(
        self, size_us: int, instants: range, quantiles: Iterable[str] = ()
    ) -> tuple[list[int], Columns]:
        """The instants whose window [e - size, e) holds anything, and those windows."""
        first = instants.start - size_us
        places = (
            [start for start in range(first, instants.stop, MINUTE_US) if start in self._by_start]
            if len(instants) * instants.step // MINUTE_US < len(self._by_start)
            else sorted(start for start in self._by_start if first <= start < instants.stop)
        )
        if not places:
            return [], Columns(np.zeros((0, len(SUMS)), dtype=np.int64), {})
        starts = np.array(places, dtype=np.int64)
        ends = np.arange(instants.start, instants.stop, instants.step, dtype=np.int64)
        low, high = np.searchsorted(starts, ends - size_us), np.searchsorted(starts, ends)
        kept = np.flatnonzero(high > low)
        low, high = low[kept], high[kept]
        sums = _differences(
            np.array([self._by_start[start].sums for start in places], dtype=np.int64), low, high
        )
        return ends[kept].tolist(), Columns(sums, self._quantiles(places, low, high, tuple(quantiles)))

    def _quantiles(
        self, places: list[int], low: Ints, high: Ints, names: tuple[str, ...]
    ) -> dict[str, npt.NDArray[np.float64]]:
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

"""Breakdowns of traces of one kind added up at once: many traces have the same types and names, and a value
of the same layout, so that together they are a table of numbers, of which columns are summed.

It comes to the same as :func:`rules.breakdown.totals` of :func:`rules.breakdown.restored`, many times faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rules.alerting.histogram import BUCKETS, bucket_index
from rules.breakdown.arrays import Ints
from rules.breakdown.columns import AMOUNTS, SUMS
from rules.breakdown.stored import BITS, USUAL
from rules.breakdown.totals import Pair, Total

_MAY_BE_UNKNOWN = ("total_us", *AMOUNTS)  # -1 where not one span has any
_MOST = 2**62


def add_alike(pairs: Sequence[Pair], numbers: Ints, into: dict[Pair, Total]) -> bool:
    """Add up traces that have the entries ``pairs`` in this order; False, and nothing is added, where their
    sums might not fit 64 bits.

    ``numbers`` has a row a trace, which is its ``span_sums``: the same head in all of them, and as many
    numbers.
    """
    traces = len(numbers)
    if int(numbers[:, 1:].max(initial=0)) > _MOST // max(traces, 1):
        return False
    columns, end = _columns(int(numbers[0, 0]), len(pairs))
    sums, unknown = _column_sums(numbers, columns, len(pairs))
    durations = _durations(numbers, columns, len(pairs))
    buckets = numbers[:, end:].reshape(-1, 3)
    np.add.at(durations, (buckets[:, 0], buckets[:, 1] + 1), buckets[:, 2])
    for place, pair in enumerate(pairs):
        total = into.setdefault(pair, Total())
        for name in SUMS:
            if unknown[name][place] < traces:
                total.sums[name] += int(sums[name][place])
        for index in np.flatnonzero(durations[place]).tolist():
            total.durations[index - 1] += int(durations[place, index])
    return True


def column(numbers: Ints, entries: int, name: str) -> Ints:
    """One of :data:`rules.breakdown.columns.SUMS` of such traces, but critical time: an item for each entry
    of the first, then of the second.
    """
    kept = _columns(int(numbers[0, 0]), entries)[0].get(name)
    if kept is None:
        return np.full(len(numbers) * entries, USUAL[SUMS.index(name)], np.int64)
    return numbers[:, kept].ravel()


def _columns(head: int, entries: int) -> tuple[dict[str, slice], int]:
    """Where in a row the columns are that are kept, and where they end."""
    at, found = 1, {}
    for name, bit in zip(SUMS, BITS.tolist(), strict=True):
        if head & bit:
            found[name] = slice(at, at + entries)
            at += entries
    return found, at


def _column_sums(
    numbers: Ints, columns: dict[str, slice], entries: int
) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """By column the sums of the entries, and in how many traces they are unknown."""
    traces, sums, unknown = len(numbers), {}, {}
    whole, below = numbers.sum(axis=0), (numbers < 0).sum(axis=0)  # of whole rows: columns take much longer
    for name, usual in zip(SUMS, USUAL, strict=True):
        kept = columns.get(name)
        sums[name] = np.full(entries, usual * traces) if kept is None else whole[kept]
        unknown[name] = np.zeros(entries, np.int64)
        if name in _MAY_BE_UNKNOWN:
            unknown[name] = np.full(entries, traces * (usual < 0)) if kept is None else below[kept]
            sums[name] = sums[name] + unknown[name]
    sums["critical_us"] = sums["self_us"] - sums["critical_us"]  # kept as the difference
    return sums, unknown


def _durations(numbers: Ints, columns: dict[str, slice], entries: int) -> Ints:
    """A row an entry, a column a bucket from -1 on: how many of the single calls took so long."""
    found = np.zeros((entries, BUCKETS), np.int64)
    total = numbers[:, columns["total_us"]] if "total_us" in columns else None
    calls = numbers[:, columns["calls"]] if "calls" in columns else None
    for place in range(entries):
        took = np.zeros(len(numbers), np.int64) if total is None else np.ascontiguousarray(total[:, place])
        single = took >= 0 if calls is None else (took >= 0) & (calls[:, place] == 1)
        found[place] = np.bincount(bucket_index(took[single]) + 1, minlength=BUCKETS)
    return found

"""Self time: how long a span ran while none of its children did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rules.breakdown.arrays import Bools, Ints, sorted_within

_ROOM = 2**62  # below it, times of many parents are told apart by an offset each


@dataclass(frozen=True)
class ChildTime:
    """For each span: in how much of it a child ran, and how much longer its children would have run one
    after the other (both µs); and whether one of them began before it or ended after it.
    """

    covered_us: Ints
    parallel_us: Ints
    outside: Bools


def child_time(start: Ints, end: Ints, parent: Ints) -> ChildTime:
    """What children make of each span; a child counts for the part of it that lies in its parent."""
    size = len(start)
    child = np.flatnonzero(parent >= 0)
    above = parent[child]
    begin = np.maximum(start[child], start[above])
    until = np.minimum(end[child], end[above])
    outside = np.zeros(size, dtype=bool)
    outside[above[(begin != start[child]) | (until != end[child])]] = True
    inside = until > begin
    if not inside.all():
        above, begin, until = above[inside], begin[inside], until[inside]
    begin, until = begin - start[above], until - start[above]
    order = sorted_within(above, begin)
    above, begin, until = above[order], begin[order], until[order]
    gained = _gained(above, begin, until)
    covered, lengths = (_summed(above, values, size) for values in (gained, until - begin))
    return ChildTime(covered, lengths - covered, outside)


def _gained(groups: Ints, begin: Ints, until: Ints) -> Ints:
    """How much each interval adds to the union of those before it in its group; sorted by group and begin."""
    gained = np.zeros(len(groups), dtype=np.int64)
    if not len(groups):
        return gained
    number = np.cumsum(np.append(0, groups[1:] != groups[:-1]))
    longest = int(until.max()) + 1
    step = max(_ROOM // longest, 1)  # so many groups fit at once: nearly always all
    for first in range(0, int(number[-1]) + 1, step):
        part = slice(*np.searchsorted(number, (first, first + step)))
        offset = (number[part] - first) * longest
        reached = np.maximum.accumulate(until[part] + offset)
        before = np.append(0, reached[:-1])
        gained[part] = np.maximum(until[part] + offset - np.maximum(begin[part] + offset, before), 0)
    return gained


def _summed(groups: Ints, values: Ints, size: int) -> Ints:
    """Sums of values by group, which stand together."""
    result = np.zeros(size, dtype=np.int64)
    if len(groups):
        first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
        result[groups[first]] = np.add.reduceat(values, first)
    return result

"""The critical path: which spans a trace waited for, from its end back to its beginning.

As Jaeger and CRISP define it: from the end of a span back, the child that ended last is waited for; before it
began, the child that had ended last by then; and so on. What is left between them is the span's own. So the
parts add up to the duration of the root, however many children ran at once. Several roots are taken for
children of the trace.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.breakdown.arrays import Bools, Ints
from rules.breakdown.tree import inherited

_ALWAYS = 2**61


def critical_time(start: Ints, end: Ints, timed: Bools, parent: Ints, rows: Ints, ties: Ints) -> Ints:
    """The part of each span in the critical path of its trace, in µs.

    ``timed``: which spans have times; one without is not waited for, unless it is a root. ``ties`` orders
    spans that began and ended together.
    """
    begin = inherited(parent, np.where(timed, start, -_ALWAYS), np.maximum)
    until = inherited(parent, np.where(timed, end, _ALWAYS), np.minimum)
    length = np.where(timed, np.maximum(until - begin, 0), 0)
    usable = np.flatnonzero(length > 0)  # so that who is waited for began before whoever comes after it
    group = np.where(parent >= 0, parent, len(start) + rows)[usable]
    waited = np.zeros(len(start), dtype=bool)
    waited[usable[_chains(group, begin[usable], until[usable], ties[usable])]] = True
    on_path = inherited(parent, waited | (~timed & (parent < 0)), np.logical_and)
    child = np.flatnonzero(waited & (parent >= 0))
    below = np.zeros(len(start), dtype=np.int64)
    np.add.at(below, parent[child], length[child])
    return np.where(on_path & timed, length - below, 0)


def _chains(group: Ints, begin: Ints, until: Ints, ties: Ints) -> Ints:
    """The spans that are waited for in each group, as indexes."""
    order = np.lexsort((ties, -begin, until, group))
    group, begin, until = group[order], begin[order], until[order]
    times, places = np.unique(np.concatenate([begin, until]), return_inverse=True)
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1])) if len(group) else np.zeros(0, np.int64)
    number = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(group))))
    begins, ends = (number * len(times) + part for part in np.split(places.reshape(-1), 2))
    before = np.searchsorted(ends, begins, side="right") - 1
    before[before < first[number]] = -1
    found, present = [], np.append(first[1:], len(group))[: len(first)] - 1
    while len(present):
        found.append(present)
        present = before[present]
        present = present[present >= 0]
    return order[np.concatenate(found)] if found else np.zeros(0, dtype=np.int64)


def ranked(texts: pa.Array) -> Ints:
    """The place of each text among all of them; nulls last."""
    places = pc.rank(texts, tiebreaker="dense").to_numpy(zero_copy_only=False)
    return np.asarray(places, dtype=np.int64)

"""Who is whose parent, for all spans of a batch, as indexes; and what a span inherits from those above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.breakdown.arrays import Ints
from rules.breakdown.span_ids import found_by_bytes

Values = TypeVar("Values", npt.NDArray[np.int64], npt.NDArray[np.bool_])


def parents(ids: pa.Array, parent_ids: pa.Array, rows: Ints, preferred: Callable[[], Ints]) -> Ints:
    """For each span the index of its parent among all spans, -1 for a root.

    A parent that is not in the span's own trace is none. Spans from which no way leads up to a root (a cycle,
    and what is below it) are all roots. Of several spans with one id the first in the order ``preferred``
    (asked only then) is the parent.
    """
    if not len(ids):
        return np.zeros(0, dtype=np.int64)
    found = found_by_bytes(ids, parent_ids)
    if found is None:
        found = _found(ids, parent_ids, rows, preferred)
    found[(found >= 0) & (rows[found] != rows)] = -1
    return _without_cycles(found)


def _found(ids: pa.Array, parent_ids: pa.Array, rows: Ints, preferred: Callable[[], Ints]) -> Ints:
    """The same for any ids."""
    size = len(ids)
    both = pc.dictionary_encode(pa.concat_arrays([ids.cast(pa.string()), parent_ids.cast(pa.string())]))
    codes = both.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    own, wanted = codes[:size], codes[size:]
    empty = pc.index(both.dictionary, "").as_py()
    if empty >= 0:
        wanted = np.where(wanted == empty, -1, wanted)
    if own[-1] == size - 1:  # codes are given in the order of appearance: all ids differ, a code is an index
        return np.where(wanted < size, wanted, -1)
    return _by_trace(own, wanted, rows, preferred())


def _by_trace(own: Ints, wanted: Ints, rows: Ints, preferred: Ints) -> Ints:
    """The same where ids occur in several traces, or several times in one."""
    codes = int(max(own.max(), wanted.max())) + 1
    named = preferred[own[preferred] >= 0]
    keys, first = np.unique(rows[named] * codes + own[named], return_index=True)
    asked = rows * codes + wanted
    place = np.minimum(np.searchsorted(keys, asked), max(len(keys) - 1, 0))
    there = (wanted >= 0) & (keys[place] == asked) if len(keys) else np.zeros(len(own), dtype=bool)
    return np.where(there, named[first[place]] if len(keys) else -1, -1)


def _without_cycles(parent: Ints) -> Ints:
    above = np.append(parent, -1)  # the last entry serves -1
    for _ in range(len(parent).bit_length() + 1):
        if (above < 0).all():
            return parent
        above = above[above]
    return np.where(above[:-1] >= 0, -1, parent)


def inherited(parent: Ints, values: Values, combine: Callable[[Values, Values], Values]) -> Values:
    """``values`` of each span combined with those of all spans above it.

    For a function such as ``numpy.maximum``, for which order and repeats make no difference.
    """
    result, above = values.copy(), parent
    while (there := np.flatnonzero(above >= 0)).size:
        result[there] = combine(result[there], result[above[there]])
        above = np.append(above, -1)[above]
    return result


def depths(parent: Ints) -> Ints:
    """How many spans are above each."""
    depth, above = (parent >= 0).astype(np.int64), parent
    while (above >= 0).any():
        depth = depth + np.append(depth, 0)[above]
        above = np.append(above, -1)[above]
    return depth

"""The spans of a batch: whose they are, what they are called, how long they ran and what they used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.breakdown.arrays import Bools, Ints
from rules.breakdown.columns import END, NAME, PARENT_ID, SPAN_ID, START, STATUS
from rules.breakdown.critical_path import critical_time, ranked
from rules.breakdown.self_time import ChildTime, child_time
from rules.breakdown.tree import parents
from rules.breakdown.usage import own_usage
from rules.dialect.fields import SPAN_TYPE
from rules.matcher import values as v
from rules.matcher.batch import Batch

LONGEST_US = 2**43  # a longer duration of a span, of over 101 days, is taken for unknown
_FARTHEST_US = 2.0**62  # from 1970: what is farther is no date, and its end might not fit 64 bits
MOST_TYPE, MOST_NAME = 64, 128  # characters
UNKNOWN = "UNKNOWN"  # MLflow's own word for a span without a type


@dataclass(frozen=True)
class Spans:
    """Parallel arrays, one item a span; times in µs.

    ``owners`` are rows of the batch, ``parent`` indexes of spans, -1 for a root. ``timed``: whether start and
    end are known; where they are not, both and all that follows from them are 0. ``used`` are the tokens and
    the cost (1e-9 USD) of the span itself, NaN where it reports none.
    """

    owners: Ints
    parent: Ints
    types: v.Texts
    names: v.Texts
    failed: Bools
    timed: Bools
    start_us: Ints
    duration_us: Ints
    self_us: Ints
    critical_us: Ints
    parallel_us: Ints
    used: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.owners)


def read_spans(batch: Batch) -> Spans:
    """The spans of a batch that has the columns :data:`rules.breakdown.columns.breakdown_columns`."""
    owners = batch.parent("spans")
    start, end, timed = _times(batch)
    types, names = _types(batch), _names(batch)

    def preferred() -> Ints:
        return np.lexsort((names.codes, -end, start))

    parent = parents(batch.flat(SPAN_ID), batch.flat(PARENT_ID), owners, preferred)
    children = child_time(start, end, parent)
    own = end - start - children.covered_us
    tangled = _tangled(children, parent, owners, timed)
    critical = own.copy()
    if len(tangled):
        ids = batch.flat(SPAN_ID).take(pa.array(tangled))
        places = np.full(len(owners) + 1, -1, dtype=np.int64)  # the last entry serves -1
        places[tangled] = np.arange(len(tangled))
        critical[tangled] = critical_time(
            start[tangled],
            end[tangled],
            timed[tangled],
            places[parent[tangled]],
            owners[tangled],
            ranked(ids),
        )
    return Spans(
        owners=owners,
        parent=parent,
        types=types,
        names=names,
        failed=_failed(batch),
        timed=timed,
        start_us=start,
        duration_us=end - start,
        self_us=own,
        critical_us=critical,
        parallel_us=children.parallel_us,
        used=own_usage(batch, parent),
    )


def _times(batch: Batch) -> tuple[Ints, Ints, Bools]:
    """Start, end, and whether both are known; an end before the start is the start."""
    start, end = (v.epoch_us(batch.flat(name)) for name in (START, END))
    took = end - start
    timed = (took <= LONGEST_US) & (np.abs(start) < _FARTHEST_US)  # not where one is NaN
    begin = np.where(timed, start, 0.0).astype(np.int64)
    return begin, begin + np.where(timed, np.maximum(took, 0.0), 0.0).astype(np.int64), timed


def _types(batch: Batch) -> v.Texts:
    found = v.remap(batch.texts(SPAN_TYPE), lambda word: v.json_text(word)[:MOST_TYPE] or UNKNOWN)
    return _filled(found, UNKNOWN)


def _names(batch: Batch) -> v.Texts:
    found = batch.texts(NAME)
    if pc.any(pc.greater(pc.utf8_length(found.arrow), MOST_NAME)).as_py():
        found = v.changed(found, pc.utf8_slice_codeunits(found.arrow, 0, MOST_NAME))
    return _filled(found, "")


def _filled(found: v.Texts, word: str) -> v.Texts:
    """The texts with a word in the place of null."""
    if found.known.all():
        return found
    words = dict.fromkeys((*found.words, word))
    return v.Texts(
        np.where(found.known, found.codes, list(words).index(word)), pa.array(list(words), pa.string())
    )


def _failed(batch: Batch) -> Bools:
    status = v.remap(batch.texts(STATUS), v.span_status)
    return np.asarray(status.codes == status.code_of.get("ERROR", -2))


def _tangled(children: ChildTime, parent: Ints, owners: Ints, timed: Bools) -> Ints:
    """The spans of traces in which spans ran at once, or do not lie within their parents: in all others the
    critical path is what each span did itself.
    """
    roots = owners[parent < 0]
    odd = owners[(children.parallel_us > 0) | children.outside | ~timed]
    again = roots[1:][roots[1:] == roots[:-1]]
    marked = np.zeros(int(owners[-1]) + 1 if len(owners) else 0, dtype=bool)
    marked[odd] = marked[again] = True
    return np.flatnonzero(marked[owners])

"""How the breakdown of a trace is kept in its fact: a text of types and names, and a value of numbers.

As a list of structs it would be open to any reader, and cost three times as much to write
(docs/decisions/profile.md). ``span_keys`` is a JSON list with ``[type, name]`` for each entry; traces of one
kind share it. ``span_sums`` are 64-bit integers, the low byte first:

- a head: the number of entries times 1024, plus 2^i for each column i of
  :data:`rules.breakdown.columns.SUMS` that is kept; all entries of another have its usual value, which is 1
  call, 0, or -1 for amounts;
- the columns that are kept, one after the other; instead of critical time, self time less critical time;
- for each bucket its entry (from 0), index and count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.breakdown.arrays import Ints
from rules.breakdown.columns import AMOUNTS, SUMS
from rules.breakdown.entries import Entries

_NUMBER = np.dtype("<i8")
_SELF, _CRITICAL = SUMS.index("self_us"), SUMS.index("critical_us")
USUAL = tuple({"calls": 1, **dict.fromkeys(AMOUNTS, -1)}.get(name, 0) for name in SUMS)
BITS = 1 << np.arange(len(SUMS), dtype=np.int64)


def stored(found: Entries, rows: int) -> dict[str, pa.Array]:
    """The columns ``span_keys`` (string) and ``span_sums`` (binary) of ``rows`` traces."""
    number = np.bincount(found.owners, minlength=rows)
    return {"span_keys": _keys(found, number), "span_sums": _numbers(found, number)}


def _keys(found: Entries, number: Ints) -> pa.Array:
    """Each distinct pair is written once, then pairs are joined by trace."""
    codes, places = np.unique(found.pairs[:, 0] * len(found.names) + found.pairs[:, 1], return_inverse=True)
    pairs = [divmod(int(code), len(found.names)) for code in codes]
    texts = [json.dumps([found.types[one], found.names[other]], ensure_ascii=False) for one, other in pairs]
    items = pa.array(texts, pa.string()).take(pa.array(places.reshape(-1)))
    offsets = pa.array(np.append(0, np.cumsum(number)).astype(np.int32))
    return pc.binary_join_element_wise(
        "[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), ", "), "]", ""
    )


def _numbers(found: Entries, number: Ints) -> pa.Array:
    """Head, columns of entries and buckets of each trace one after the other."""
    columns = _shifted(found.sums)
    present = _present(columns, found.owners, len(number))
    of_bucket = found.owners[found.buckets[:, 0]]
    buckets = np.bincount(of_bucket, minlength=len(number))
    lengths = number * present.sum(axis=1)
    ends = np.cumsum(1 + lengths + 3 * buckets)
    begins = np.append(0, ends)[: len(number)]
    flat = np.empty(int(ends[-1]) if len(ends) else 0, dtype=_NUMBER)
    flat[begins] = number << len(SUMS) | present @ BITS
    first = np.append(0, np.cumsum(number))  # of the entries of each trace
    for values, which, at in _places(columns, present, begins, number, found.owners, first):
        flat[at] = values[which]
    if len(of_bucket):
        order = np.arange(len(of_bucket)) - np.append(0, np.cumsum(buckets))[of_bucket]
        at = begins[of_bucket] + 1 + lengths[of_bucket] + 3 * order
        entry = found.buckets[:, 0] - first[of_bucket]
        flat[at[:, None] + np.arange(3)] = np.column_stack([entry, found.buckets[:, 1:]])
    offsets = np.append(0, ends * _NUMBER.itemsize).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(number), [None, pa.py_buffer(offsets), pa.py_buffer(flat)])


def _shifted(sums: Ints) -> Ints:
    """Columns in which nearly all is :data:`USUAL`: in most traces all of self time is critical."""
    columns = sums.copy()
    columns[_CRITICAL] = columns[_SELF] - columns[_CRITICAL]
    return columns


def _present(columns: Ints, owners: Ints, rows: int) -> Ints:
    """For each trace and column whether an entry of the trace has another value than the usual one."""
    found = np.zeros((rows, len(SUMS)), dtype=np.int64)
    for place, (values, usual) in enumerate(zip(columns, USUAL, strict=True)):
        found[owners[values != usual], place] = 1
    return found


def _places(
    columns: Ints, present: Ints, begins: Ints, number: Ints, owners: Ints, first: Ints
) -> Iterator[tuple[Ints, Any, Ints]]:
    """For each column that some trace has: its values, which entries are kept, and where each of those is."""
    at = begins + 1
    for place, values in enumerate(columns):
        here = present[:, place] == 1
        if here.any():
            which = slice(None) if here.all() else np.flatnonzero(here[owners])
            kept = owners[which]
            yield values, which, at[kept] + np.arange(len(owners))[which] - first[kept]
        at = at + number * present[:, place]


def restored(keys: pa.Array, sums: pa.Array) -> Entries:
    """The entries of some traces (no nulls among them) as they were stored."""
    encoded = pc.dictionary_encode(keys)
    shapes = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    types, names = (_numbered(pair[side] for shape in shapes for pair in shape) for side in (0, 1))
    pairs = np.array([(types[one], names[other]) for shape in shapes for one, other in shape], np.int64)
    flat, begins, ends = _flat(sums)
    number = flat[begins] >> len(SUMS)
    present = (flat[begins][:, None] & BITS > 0).astype(np.int64)
    owners = np.repeat(np.arange(len(begins)), number)
    first = np.append(0, np.cumsum(number))
    place = np.arange(len(owners)) - first[owners]
    lengths = np.array([len(shape) for shape in shapes], dtype=np.int64)
    indices = encoded.indices  # not by to_numpy, which imports pandas: half of a second for a command
    shape = np.frombuffer(indices.buffers()[1], np.int32)[indices.offset : indices.offset + len(indices)]
    of_shape = np.append(0, np.cumsum(lengths))[shape]
    return Entries(
        owners=owners,
        pairs=pairs.reshape(-1, 2)[of_shape[owners] + place],
        types=list(types),
        names=list(names),
        sums=_sums(flat, (begins, number, present), owners, first),
        buckets=_buckets(flat, begins + 1 + number * present.sum(axis=1), ends, first),
    )


def _sums(flat: Ints, heads: tuple[Ints, Ints, Ints], owners: Ints, first: Ints) -> Ints:
    begins, number, present = heads
    columns = np.repeat(np.array(USUAL, dtype=np.int64)[:, None], len(owners), axis=1)
    for values, which, at in _places(columns, present, begins, number, owners, first):
        values[which] = flat[at]
    columns[_CRITICAL] = columns[_SELF] - columns[_CRITICAL]
    return columns


def _numbered(words: Iterable[str]) -> dict[str, int]:
    return {word: number for number, word in enumerate(dict.fromkeys(words))}


def _flat(sums: pa.Array) -> tuple[Ints, Ints, Ints]:
    """All numbers, and where those of each trace begin and end."""
    raw = sums.cast(pa.large_binary())
    offsets = np.frombuffer(raw.buffers()[1], np.int64)[raw.offset : raw.offset + len(raw) + 1]
    data = raw.buffers()[2]
    flat = np.frombuffer(data, _NUMBER) if data is not None and data.size else np.zeros(0, _NUMBER)
    places = offsets // _NUMBER.itemsize
    return flat, places[:-1], places[1:]


def _buckets(flat: Ints, begins: Ints, ends: Ints, first: Ints) -> Ints:
    number = (ends - begins) // 3
    owner = np.repeat(np.arange(len(begins)), number)
    place = np.arange(len(owner)) - np.append(0, np.cumsum(number))[owner]
    found = flat[(begins[owner] + 3 * place)[:, None] + np.arange(3)]
    return np.column_stack([found[:, 0] + first[owner], found[:, 1:]])

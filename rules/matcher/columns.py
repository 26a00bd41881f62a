"""Raw columns: what a condition reads of a trace, by name, and taking them out of a table of traces in Arrow.

Names: ``state``, ``request``, …; ``tags[KEY]`` and ``trace_metadata[KEY]``; ``spans.name`` (a list, one item
a span), ``spans.attributes[KEY]`` and ``spans.events[KEY]`` (of the span's last event that has the
attribute); ``assessments.feedback_value``. Spark takes the same names out of a
DataFrame (streams/batch/columns.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NAME = re.compile(r"^(?P<base>[a-z_]+)(?:\.(?P<child>[a-z_]+))?(?:\[(?P<key>.*)\])?$", re.DOTALL)


def split_name(name: str) -> tuple[str, str | None, str | None]:
    """A raw column's name as (column, field of its structs or None, key of its map or None)."""
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"not a raw column: {name}")
    return match["base"], match["child"], match["key"]


def raw_table(traces: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The raw columns of a table shaped like ``store.schemas.TRACES``; a missing one is all null."""
    return pa.table({name: _raw(traces, name) for name in columns} or {"trace_id": traces["trace_id"]})


def _raw(traces: pa.Table, name: str) -> pa.Array:
    base, child, key = split_name(name)
    if base not in traces.column_names:
        kind = pa.list_(pa.string()) if child else pa.string()
        return pa.nulls(traces.num_rows, kind)
    column = traces[base].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if child is None:
        return column if key is None else _looked_up(column, key)
    structs = column.flatten()
    names = [field.name for field in column.type.value_type]
    values = structs.field(names.index(child)) if child in names else pa.nulls(len(structs), pa.string())
    if key is not None:
        values = _event_attribute(values, key) if child == "events" else _attribute(values, key)
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = pa.array([0, *pc.cumulative_sum(lengths).to_pylist()], pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def _looked_up(maps: pa.Array, key: str) -> pa.Array:
    return pc.map_lookup(maps, pa.scalar(key, maps.type.key_type), "last")


def _attribute(maps: pa.Array, key: str) -> pa.Array:
    return _looked_up(maps, key) if pa.types.is_map(maps.type) else pa.nulls(len(maps), pa.string())


def _event_attribute(events: pa.Array, key: str) -> pa.Array:
    """For each span the attribute ``key`` of its last event that has it."""
    if not pa.types.is_list(events.type) or not pa.types.is_struct(events.type.value_type):
        return pa.nulls(len(events), pa.string())
    names = [field.name for field in events.type.value_type]
    if "attributes" not in names:
        return pa.nulls(len(events), pa.string())
    found = _attribute(events.flatten().field(names.index("attributes")), key)
    counts = pc.fill_null(pc.list_value_length(events), 0).to_numpy(zero_copy_only=False)
    owners = np.repeat(np.arange(len(counts)), counts)
    known = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    last = np.full(len(counts), -1, dtype=np.int64)
    np.maximum.at(last, owners[known], known)
    return found.take(pa.array(last, pa.int64(), mask=last < 0))

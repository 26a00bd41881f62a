"""Texts that are no UTF-8: a Parquet file may hold any bytes where a text should be."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with what is no UTF-8 replaced (U+FFFD): a string's bytes come as they are in
    the file.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return pa.RecordBatch.from_arrays(
            [_replaced(column) for column in batch.columns], schema=batch.schema
        )
    return batch


def _replaced(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        values = _replaced(column.flatten())
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        offsets = pa.array([0, *pc.cumulative_sum(lengths).to_pylist()], pa.int32())
        return pa.ListArray.from_arrays(offsets, values, mask=column.is_null())
    if not pa.types.is_string(column.type):
        return column
    raw = column.cast(pa.binary()).to_pylist()
    return pa.array([None if text is None else text.decode("utf-8", "replace") for text in raw], pa.string())

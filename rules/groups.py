"""Groups: the keys by which traces are counted, and their values: never null, at most 128 characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect.fields import MODEL, NAME, SPAN_TYPE
from rules.matcher.batch import Batch
from rules.matcher.decode import first_model

DEFAULT_GROUP_BY = ("experiment", "trace_name", "environment")
MAX_VALUE = 128
_NAMED = {
    "experiment": ("experiment_name", "experiment_id"),
    "trace_name": (NAME,),
    "environment": ("tags[environment]",),
    "session": ("trace_metadata[mlflow.trace.session]",),
    "model": (SPAN_TYPE, *MODEL),
}


def raw_columns(key: str) -> tuple[str, ...]:
    """The raw columns of one key.

    Raises:
        ValueError: there is no such key.
    """
    if key in _NAMED:
        return _NAMED[key]
    head, _, rest = key.partition(".")
    if head in ("tags", "metadata") and rest:
        return (f"{'tags' if head == 'tags' else 'trace_metadata'}[{rest}]",)
    raise ValueError(f"unknown group key {key!r}: use {', '.join(_NAMED)}, tags.KEY or metadata.KEY")


def group_columns(group_by: Sequence[str]) -> tuple[str, ...]:
    """The raw columns that all keys together need."""
    return tuple(dict.fromkeys(column for key in group_by for column in raw_columns(key)))


def label_names(group_by: Sequence[str]) -> list[str]:
    """Prometheus label names: ``tags.a.b`` → ``tags_a_b``.

    Raises:
        ValueError: two keys give one name.
    """
    names = [re.sub(r"[^a-zA-Z0-9_]", "_", key) for key in group_by]
    for name in names:
        same = [key for key, other in zip(group_by, names, strict=True) if other == name]
        if len(same) > 1:
            raise ValueError(f"{' and '.join(same)} give one and the same label name, {name}: leave one out")
    return names


def group_values(table: pa.Table | Batch, group_by: Sequence[str]) -> pa.Array:
    """For each row the list of its values, ``""`` for null, in the order of ``group_by``."""
    batch = table if isinstance(table, Batch) else Batch(table)
    columns, rows = [_values(batch, key) for key in group_by], batch.size("trace")
    if not columns:
        return pa.array([[]] * rows, pa.list_(pa.string()))
    flat = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1).ravel()
    offsets = np.arange(0, (rows + 1) * len(columns), len(columns), dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.string()))


def _values(batch: Batch, key: str) -> pa.Array:
    if key == "model":
        found = first_model(batch)
    else:
        found = pc.coalesce(*(batch.flat(column).cast(pa.string()) for column in raw_columns(key)))
    return pc.utf8_slice_codeunits(pc.fill_null(found, ""), 0, MAX_VALUE)

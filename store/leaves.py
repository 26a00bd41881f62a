"""Which parts of a Parquet file are read for some fields of a nested column, and the types of these alone.

A column of structs lies in the file as a column for each of its fields (a leaf), so that the names of spans
can be read without their contents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_Place = tuple[str, ...]


def with_fields(kind: pa.DataType, fields: Collection[_Place]) -> pa.DataType:
    """A list of structs with those fields alone, given by their names, outermost first; other types as they
    are.
    """
    if pa.types.is_list(kind):
        return pa.list_(with_fields(kind.value_type, fields))
    if not pa.types.is_struct(kind) or () in fields:
        return kind
    below = {name: {one[1:] for one in fields if one[0] == name} for name in {one[0] for one in fields}}
    return pa.struct(
        [pa.field(one.name, with_fields(one.type, below[one.name])) for one in kind if one.name in below]
    )


def leaf_paths(parquet: pq.ParquetFile, column: str, kind: pa.DataType | None) -> list[str]:
    """The paths, in the file, of the leaves of a column that a type has: all where it is None; of a column of
    which the file has none of the fields one leaf, which tells how many items there are.
    """
    wanted = None if kind is None else set(_places(kind))
    every: list[str] = []
    first: list[str] = []
    index = 0
    for field in parquet.schema_arrow:
        for place in _places(field.type):
            if field.name == column:
                path = parquet.schema.column(index).path
                first = first or [path]
                if wanted is None or place in wanted:
                    every.append(path)
            index += 1
    return every or first


def _places(kind: pa.DataType) -> Iterator[_Place]:
    """The leaves of a type in the order of the file, each by the names of the structs' fields around it."""
    types = pa.types
    if types.is_struct(kind):
        for field in kind:
            yield from ((field.name, *place) for place in _places(field.type))
    elif types.is_map(kind):
        yield from _places(kind.key_type)
        yield from _places(kind.item_type)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _places(kind.value_type)
    else:
        yield ()


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain texts where a file says that it holds views, as delta-rs writes those that it
    rewrites: Arrow cannot pick rows of views.
    """
    kinds = [_without_views(field.type) for field in batch.schema]
    if kinds == [field.type for field in batch.schema]:
        return batch
    fields = [field.with_type(kind) for field, kind in zip(batch.schema, kinds, strict=True)]
    return batch.cast(pa.schema(fields))


def _without_views(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_without_views(kind.key_type), _without_views(kind.item_type))
    return pa.list_(_without_views(kind.value_type)) if types.is_list(kind) else kind

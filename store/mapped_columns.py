"""What the columns of a Delta table are called inside its files, and how they get the table's own types.

With column mapping a column, or a field of a struct, has another name in the files, or is known there by its
id alone.  A file may be older than a column, or have a narrower type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

_PHYSICAL, _ID = "delta.columnMapping.physicalName", "delta.columnMapping.id"
_FIELD_ID = b"PARQUET:field_id"
Declared = Any  # a field, or its type, as the schema in a Delta log says it: JSON


class ColumnNames:
    """The names, inside the files, of a table's columns or of a struct's fields, from the schema in the log.

    ``by_id``: files are to be trusted for the ids of their columns alone.
    """

    def __init__(self, fields: Sequence[Declared], *, by_id: bool) -> None:
        self._fields: dict[str, Declared] = {one["name"]: one for one in fields}
        self._by_id = by_id

    def physical(self, name: str) -> str:
        """What the column is called inside."""
        return str(self._fields[name]["metadata"].get(_PHYSICAL, name))

    def inside(self, fields: Iterable[pa.Field]) -> Mapping[str, str]:
        """Of a file's columns, or a struct's fields, the names by those of the table; what the file lacks is
        not in it.
        """
        by_name, by_id = {}, {}
        for field in fields:
            by_name[field.name] = field.name
            by_id[(field.metadata or {}).get(_FIELD_ID, b"").decode()] = field.name
        found = {}
        for name, declared in self._fields.items():
            number = str(declared["metadata"].get(_ID, "-"))
            there = by_id.get(number) if self._by_id else by_name.get(self.physical(name))
            if there is not None:
                found[name] = there
        return found

    def fitted(self, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
        """A column of a file in the table's type; in the one that it has where it does not fit."""
        return self._fitted(column, kind, self._fields[name]["type"])

    def _fitted(self, column: pa.Array, kind: pa.DataType, declared: Declared) -> pa.Array:
        types, have = pa.types, column.type
        if types.is_struct(kind) and types.is_struct(have):
            return self._struct(column, kind, declared)
        if types.is_map(kind) and types.is_map(have):
            keys = self._fitted(column.keys, kind.key_type, declared["keyType"])
            items = self._fitted(column.items, kind.item_type, declared["valueType"])
            return pa.MapArray.from_arrays(column.offsets, keys, items, mask=column.is_null())
        if types.is_list(kind) and types.is_list(have):
            values = self._fitted(column.values, kind.value_type, declared["elementType"])
            return pa.ListArray.from_arrays(column.offsets, values, mask=column.is_null())
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return column.cast(kind)
        return column

    def _struct(self, column: pa.Array, kind: pa.DataType, declared: Declared) -> pa.Array:
        fields = (
            declared["fields"] if isinstance(declared, Mapping) else []
        )  # a variant is a struct, by a name
        names = ColumnNames(fields, by_id=self._by_id)
        there = names.inside(column.type)
        made = [
            names.fitted(field.name, column.field(there[field.name]), field.type)
            if field.name in there
            else pa.nulls(len(column), field.type)
            for field in kind
        ]
        own = [pa.field(field.name, one.type) for field, one in zip(kind, made, strict=True)]
        return pa.StructArray.from_arrays(made, fields=own, mask=column.is_null())

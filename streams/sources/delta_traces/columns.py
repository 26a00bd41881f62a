"""How the columns of a Delta table fit those of a trace."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from store.schemas import TRACES

OPTIONAL = frozenset(
    {
        "experiment_id",
        "experiment_name",
        "client_request_id",
        "request",
        "response",
        "assessments",
        "landed_us",
    }
)
_SPAN_NEEDS = {"span_id", "name", "start_time"}  # what matching cannot do without


def problems(schema: pa.Schema, columns: dict[str, str]) -> list[str]:
    """What of a table's schema does not fit, given its columns by our names where they differ."""
    found = [line for line in (_problem(field, schema, columns) for field in TRACES) if line]
    strange = [name for name in columns if name not in TRACES.names]
    return found + [f"columns.{name}: there is no such column of a trace" for name in strange]


def _problem(field: pa.Field, schema: pa.Schema, columns: dict[str, str]) -> str | None:
    name = columns.get(field.name, field.name)
    index = schema.get_field_index(name)
    if index < 0:
        needed = field.name in columns or field.name not in OPTIONAL
        return f"column {name} is missing (map it with source.columns.{field.name})" if needed else None
    have = schema.field(index).type
    return None if fits(have, field.type) else f"column {name} is {have}, not {described(field.type)}"


def described(kind: Any) -> str:
    """An Arrow type in the words of messages."""
    if pa.types.is_list(kind):
        return "an array of structs" if pa.types.is_struct(kind.value_type) else "an array"
    return "a map of strings" if pa.types.is_map(kind) else str(kind)


def fits(have: Any, want: Any) -> bool:
    """Whether a column of type ``have`` can be read as ``want``: numbers of any width, times with or without
    a zone; a struct must have the fields that matching cannot do without.
    """
    types = pa.types
    if types.is_string(want):
        return bool(types.is_string(have) or types.is_large_string(have) or types.is_string_view(have))
    if types.is_timestamp(want):
        return bool(types.is_timestamp(have))
    if types.is_floating(want) or types.is_integer(want):
        return bool(types.is_integer(have) or types.is_floating(have) or types.is_decimal(have))
    if types.is_map(want):
        return bool(types.is_map(have))
    if types.is_list(want):
        return _struct_fits(have, want)
    return True


def _struct_fits(have: Any, want: Any) -> bool:
    listed = pa.types.is_list(have) or pa.types.is_large_list(have)
    if not listed or not pa.types.is_struct(have.value_type):
        return False
    names = {have.value_type.field(i).name for i in range(have.value_type.num_fields)}
    of_spans = any(field.name == "events" for field in want.value_type)
    return not of_spans or names >= _SPAN_NEEDS

"""How the columns of a Delta table fit those of a trace."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from store.schemas import LOCATED, LOCATION, TRACES

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
SPAN_NEEDS = frozenset({"span_id", "name", "start_time"})  # what matching cannot do without


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
    if fits(have, field.type):
        return None
    if _is_variant(have):
        return (
            f"column {name} is a variant, not {described(field.type)} (write it as that, `to_json({name})`)"
        )
    if missing := sorted(SPAN_NEEDS - _fields(have)) if field.name == "spans" and _fields(have) else []:
        return f"column {name} is missing the fields {', '.join(missing)}"
    return f"column {name} is {have}, not {described(field.type)}"


def _is_variant(kind: Any) -> bool:
    """Whether a type is Delta's variant, which Arrow knows as a struct of two binaries."""
    if not pa.types.is_struct(kind):
        return False
    return {(one.name, str(one.type)) for one in kind} == {("metadata", "binary"), ("value", "binary")}


def present(schema: pa.Schema, columns: dict[str, str]) -> set[str]:
    """The columns of a trace that a table has, and the fields of its spans and assessments, as dotted
    paths by our names.
    """
    found = set()
    for field in TRACES:
        index = schema.get_field_index(columns.get(field.name, field.name))
        if index >= 0:
            inner = _fields(schema.field(index).type) & _fields(field.type)
            found |= {field.name, *(f"{field.name}.{name}" for name in inner)}
    return found


def located(schema: pa.Schema, name: str) -> bool:
    """Whether a column that the table lacks can be had from its ``trace_location``, a struct or JSON."""
    if name not in LOCATED or LOCATION not in schema.names or name in schema.names:
        return False
    kind = schema.field(LOCATION).type
    for one in LOCATED[name]:
        if not pa.types.is_struct(kind):
            return fits(kind, pa.string())
        if kind.get_field_index(one) < 0:
            return False
        kind = kind.field(one).type
    return True


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
    names, of_spans = _fields(have), "events" in _fields(want)
    return bool(names) and (not of_spans or names >= SPAN_NEEDS)


def _fields(kind: Any) -> set[str]:
    """The fields of a list's structs; none where it is no such list."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return (
        {field.name for field in kind.value_type} if listed and pa.types.is_struct(kind.value_type) else set()
    )

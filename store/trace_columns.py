"""Which columns of a table of traces, and which fields of its spans and assessments, raw columns need."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl
import pyarrow as pa

from rules.matcher.columns import split_name
from store.leaves import with_fields
from store.schemas import LOCATED, LOCATION, TRACES

# What tells one row of a trace from another.
DISTINGUISHING = ("trace_id", "request_time", "state", "execution_duration_ms", "landed_us")
_EVENTS = ("events", "attributes")


def kinds_of(raw: Collection[str], names: Mapping[str, str], schema: pa.Schema) -> dict[str, pa.DataType]:
    """The columns to read, by our names, each with a type that has the fields of it that are needed.

    ``names`` are the table's columns by ours, ``schema`` is the table's.
    """
    fields: dict[str, set[tuple[str, ...]]] = {name: {()} for name in DISTINGUISHING}
    for one in raw:
        base, child, _ = split_name(one)
        fields.setdefault(base, set()).add(
            () if child is None else _EVENTS if child == "events" else (child,)
        )
    kinds = {
        name: with_fields(TRACES.field(name).type, wanted) for name, wanted in fields.items() if name in names
    }
    # A column that does not fit is read as it is.
    kinds = {
        name: kind if _alike(kind, schema.field(names[name]).type) else schema.field(names[name]).type
        for name, kind in kinds.items()
    }
    if LOCATION in names and any(name in LOCATED and name not in names for name in fields):
        kinds[LOCATION] = schema.field(names[LOCATION]).type
    return kinds


def _alike(kind: pa.DataType, have: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) == pa.types.is_nested(have))


def statuses(schema: pl.Schema) -> pl.Expr:
    """The spans with their statuses alone: their times may be no dates, which Python cannot hold."""
    spans = schema.get("spans")
    inner = spans.inner if isinstance(spans, pl.List) else None
    fields = {field.name for field in inner.fields} if isinstance(inner, pl.Struct) else set()
    names = [name for name in ("status_code", "status_message") if name in fields]
    if not names:
        return pl.lit(None)
    return pl.col("spans").list.eval(pl.struct(pl.element().struct.field(name) for name in names))

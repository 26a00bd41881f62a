"""A Delta table of traces as a source: read in commit order, exactly once by the checkpoint, repeats sorted
by content.

The table has the shape of MLflow's unified trace view, one row a trace.  It is read with ``ignoreChanges``,
so that MERGE, UPDATE and OPTIMIZE are survived: what they rewrite comes again and is a duplicate or an
amendment.  Deletes are counted, not applied.  What would fail later, or silently count wrong, is refused here
before anything starts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from rules.units import readable_time
from store.schemas import TRACES
from streams.errors import SourceError
from streams.sources.delta_traces.log import last_batch, offset, oldest

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


class DeltaTracesSource(BaseModel):
    """``{kind: delta_traces, table: PATH, columns: {trace_id: my_id}}``; ``columns`` maps our names to the
    table's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["delta_traces"] = Field(
        default="delta_traces", description="a Delta table, one row a trace"
    )
    table: str = Field(description="its folder or URI; a relative path is relative to this file")
    columns: dict[str, str] = Field(
        default={}, description="our column: the table's, such as {trace_id: request_id}"
    )


_DOTTED = re.compile(r"\w+(\.\w+){1,2}")
_CATALOG_NAME = (
    " (a table of a catalog is named by its location, see `DESCRIBE DETAIL`; a view has none, and cannot "
    "be streamed: "
    "name its base tables, see `SHOW CREATE TABLE`)"
)


def check(table: str, columns: dict[str, str]) -> None:
    """Look at the table without Spark.

    Raises:
        SourceError: it is not a Delta table (a view has none), or columns are missing or of the wrong type;
            all named.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    if "://" not in table and not Path(table).exists():
        raise SourceError(
            f"source.table: {table} does not "
            f"exist{_CATALOG_NAME if _DOTTED.fullmatch(Path(table).name) else ''}"
        )
    try:
        delta = DeltaTable(table)
    except TableNotFoundError as error:
        hint = "a view cannot be streamed: name its base tables"
        raise SourceError(f"source.table: {table} is not a Delta table ({hint})") from error
    schema = pa.schema(delta.schema().to_arrow())
    wrong = [line for line in (_mistake(field, schema, columns) for field in TRACES) if line]
    wrong += [
        f"columns.{name}: there is no such column of a trace" for name in columns if name not in TRACES.names
    ]
    if wrong:
        raise SourceError(f"source.table: {table}: " + "; ".join(wrong))


def _mistake(field: pa.Field, schema: pa.Schema, columns: dict[str, str]) -> str | None:
    name = columns.get(field.name, field.name)
    index = schema.get_field_index(name)
    if index < 0:
        needed = field.name in columns or field.name not in OPTIONAL
        return f"column {name} is missing (map it with source.columns.{field.name})" if needed else None
    have = schema.field(index).type
    return None if _fits(have, field.type) else f"column {name} is {have}, not {_told(field.type)}"


def _told(kind: Any) -> str:
    if pa.types.is_list(kind):
        return "an array of structs" if pa.types.is_struct(kind.value_type) else "an array"
    return "a map of strings" if pa.types.is_map(kind) else str(kind)


def _fits(have: Any, want: Any) -> bool:
    """Numbers of any width are accepted; a struct must have the fields that matching cannot do without."""
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
        listed = types.is_list(have) or types.is_large_list(have)
        if not listed or not types.is_struct(have.value_type):
            return False
        names = {have.value_type.field(i).name for i in range(have.value_type.num_fields)}
        needed = (
            {"span_id", "name", "start_time"} if any(f.name == "events" for f in want.value_type) else set()
        )
        return needed <= names
    return True


def check_versions(table: str, checkpoint: str, counted_through_us: int | None = None) -> None:
    """Compare what the checkpoint will ask for next with the table that is there and the commits that its log
    still has.

    ``counted_through_us`` is up to when commits have been counted, for the message.

    Raises:
        SourceError: it is another table, or versions in between were cleaned away: reading on would lose them
            silently.
    """
    from deltalake import DeltaTable

    planned = last_batch(checkpoint)
    wanted = None if planned is None else offset(checkpoint, planned)
    if wanted is None:
        return
    rebuild = "`tracesieve run --rebuild` reads the whole table again against the facts that are there"
    if str(DeltaTable(table).metadata().id) != wanted.get("reservoirId"):
        raise SourceError(
            f"source.table: {table} is not the table that was read so far: it was made anew or moved; "
            f"{rebuild}"
        )
    first = oldest(table)
    if first is not None and int(wanted["reservoirVersion"]) < first.version:
        since = f"after {readable_time(counted_through_us)}" if counted_through_us else "since the last run"
        raise SourceError(
            f"source.table: {table}: versions {wanted['reservoirVersion']} to {first.version - 1} are gone "
            f"from its log, so what was committed {since} and before {readable_time(first.time_us)} "
            f"cannot be told from what was counted; {rebuild}"
        )

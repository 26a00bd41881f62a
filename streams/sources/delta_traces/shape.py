"""How the columns of a Delta table fit those of a trace, with a guess at the mapping; for ``tracesieve
init``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from store.schemas import TRACES
from streams.errors import SourceError
from streams.sources.delta_traces.source import OPTIONAL, _fits, _told

# What others call our columns, the likeliest first.
_ALSO = {
    "trace_id": ("request_id", "id", "traceid", "trace"),
    "experiment_id": ("experiment",),
    "experiment_name": ("experiment", "service", "app", "service_name"),
    "request_time": ("timestamp", "start_time", "started_at", "time", "created_at"),
    "state": ("status", "status_code", "outcome"),
    "execution_duration_ms": ("duration_ms", "execution_time_ms", "latency_ms", "duration", "latency"),
    "request": ("input", "inputs", "prompt", "question"),
    "response": ("output", "outputs", "answer", "completion"),
    "trace_metadata": ("metadata", "request_metadata"),
    "tags": ("labels", "attributes"),
    "spans": ("span",),
    "assessments": ("feedback",),
}


@dataclass(frozen=True)
class Column:
    """One of our columns: which of the table's it is, if any; ``problem`` is empty where it can be read as it
    is.
    """

    name: str
    theirs: str | None
    type: str
    needed: bool
    problem: str = ""

    @property
    def mapped(self) -> bool:
        """Whether the config has to name the table's column."""
        return self.theirs is not None and self.theirs != self.name


def shape(table: str) -> list[Column]:
    """Every column of a trace beside what the table has.

    Raises:
        SourceError: it is not a Delta table.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        schema = pa.schema(DeltaTable(table).schema().to_arrow())
    except (DeltaError, OSError) as error:
        raise SourceError(
            f"--table: {table} is not a Delta table (a view cannot be streamed: name its base tables)"
        ) from error
    free = {name.lower(): name for name in schema.names if name not in TRACES.names}
    return [_column(field, schema, free) for field in TRACES if field.name != "landed_us"]


def _column(field: pa.Field, schema: pa.Schema, free: dict[str, str]) -> Column:
    needed, told = field.name not in OPTIONAL, _told(field.type)
    if field.name in schema.names:
        have = schema.field(field.name).type
        return Column(field.name, field.name, told, needed, "" if _fits(have, field.type) else f"is {have}")
    for guess in _ALSO.get(field.name, ()):
        if guess in free and _fits(schema.field(free[guess]).type, field.type):
            return Column(field.name, free.pop(guess), told, needed)
    return Column(field.name, None, told, needed, "is missing" if needed else "")

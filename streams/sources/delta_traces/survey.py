"""What ``tracesieve init`` does for a Delta table: its columns beside those of a trace, with a guess at the
mapping.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from store.schemas import LOCATION, TRACES
from streams.sources.delta_traces.columns import OPTIONAL, described, fits, located
from streams.sources.delta_traces.opening import open_table
from streams.sources.offer import Draft, Survey

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


def survey(place: str, config_dir: Path) -> Survey:
    """The columns that a trace has, each with the table's.

    Raises:
        SourceError: it is not a Delta table.
    """
    columns = shape(place)
    relative = "://" not in place and not Path(place).is_absolute()
    table = os.path.relpath(place, config_dir.resolve()) if relative else place
    return Survey(
        title=f"columns of {place}",
        headings=("a trace's", "the table's", "must be", ""),
        rows=[(one.name, one.theirs or "-", one.type, one.verdict) for one in columns],
        draft=lambda _: _draft(table, columns),
    )


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
    located: bool = False  # it can be had from `trace_location`

    @property
    def mapped(self) -> bool:
        """Whether the config has to name the table's column."""
        return self.theirs is not None and self.theirs != self.name

    @property
    def verdict(self) -> str:
        """What a person reads of it."""
        if self.problem:
            return f"NO: {self.problem}"
        if self.located:
            return f"ok, from {LOCATION}"
        return "ok, by source.columns" if self.mapped else "ok" if self.theirs else "absent, may be"


def shape(table: str) -> list[Column]:
    """Every column of a trace beside what the table has.

    Raises:
        SourceError: it is not a Delta table, or none that can be read.
    """
    schema = pa.schema(open_table("--table", table).schema().to_arrow())
    free = {name.lower(): name for name in schema.names if name not in {*TRACES.names, LOCATION}}
    return [_column(field, schema, free) for field in TRACES if field.name != "landed_us"]


def _column(field: pa.Field, schema: pa.Schema, free: dict[str, str]) -> Column:
    needed, kind = field.name not in OPTIONAL, described(field.type)
    if field.name in schema.names:
        have = schema.field(field.name).type
        return Column(field.name, field.name, kind, needed, "" if fits(have, field.type) else f"is {have}")
    for guess in _ALSO.get(field.name, ()):
        if guess in free and fits(schema.field(free[guess]).type, field.type):
            return Column(field.name, free.pop(guess), kind, needed)
    missing = "is missing" if needed else ""
    return Column(field.name, None, kind, needed, missing, located(schema, field.name))


def _draft(table: str, columns: Sequence[Column]) -> Draft:
    mapping = {one.name: one.theirs for one in columns if one.mapped}
    missing = [one.name for one in columns if one.problem and (one.needed or one.theirs)]
    source: dict[str, object] = {"kind": "delta_traces", "table": table}
    if mapping or missing:
        source["columns"] = mapping | dict.fromkeys(missing, "YOUR_COLUMN")
    found = [
        {"name": one.name, "column": one.theirs, "needed": one.needed, "problem": one.problem or None}
        for one in columns
    ]
    unfinished = "name the missing columns under source.columns" if missing else ""
    return Draft({"source": source}, {"columns": found}, unfinished)

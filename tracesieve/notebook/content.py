"""The content of traces and of their spans as frames: columns are fields by the names that conditions use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from rules.dialect.fields import SPAN_NAMES, TRACE_NAMES, lookup
from rules.dialect.nodes import Field
from rules.matcher import Evaluation
from rules.matcher.values import Texts
from store.content import TraceTable
from store.schemas import TRACES
from tracesieve.analysis.selection import counted, distinguishing, sound_columns
from tracesieve.errors import TracesieveError
from tracesieve.notebook.frames import time

TRACE_FIELDS: Final = ("request", "response")
SPAN_FIELDS: Final = ("name", "type", "status", "status_message", "duration_ms")
_TIMES = ("spans.start_time", "spans.end_time")
_IDS = ("span_id", "parent_id")


def fields_of(names: Sequence[str], scope: Literal["trace", "spans"]) -> dict[str, Field]:
    """The fields by their names.

    Raises:
        TracesieveError: some are none; all of them at once, with those that there are.
    """
    found = {name: lookup(scope, tuple(name.split("."))) for name in names}
    good = {name: one for name, one in found.items() if one is not None and one.scope == scope}
    if wrong := [name for name in names if name not in good]:
        known = SPAN_NAMES if scope == "spans" else TRACE_NAMES
        keyed = "attributes.KEY" if scope == "spans" else "tags.KEY, metadata.KEY"
        what = "a span" if scope == "spans" else "a trace"
        raise TracesieveError(
            f"fields: {', '.join(wrong)}: not of {what}; there are {', '.join(known)}, {keyed}"
        )
    return good


def traces_frame(table: TraceTable, facts: pl.DataFrame, fields: dict[str, Field]) -> pl.DataFrame:
    """A row for each trace of ``facts`` that has content: ``trace_id``, ``start``, ``state``,
    ``duration_ms``, and the fields.

    Raises:
        StoreError: the table cannot be read.
    """
    raw = tuple(dict.fromkeys(name for field in fields.values() for name in field.raw))

    def columns(rows: pa.Table) -> pl.DataFrame:
        batch = Evaluation(sound_columns(rows, raw))
        return distinguishing(rows).with_columns(
            _series(batch, field, "trace").alias(f"field {name}") for name, field in fields.items()
        )

    found = _counted(table, facts, raw, columns)
    return found.sort("start_us", "trace_id").select(
        "trace_id",
        time("start_us").alias("start"),
        "state",
        (pl.col("duration_us") / 1000).alias("duration_ms"),
        *(pl.col(f"field {name}").alias(name) for name in fields),
    )


def spans_frame(table: TraceTable, facts: pl.DataFrame, fields: dict[str, Field]) -> pl.DataFrame:
    """A row for each span of these traces: ``trace_id``, ``span_id``, ``parent_id``, ``start``, ``end``, and
    the fields; in the order of the table.

    Raises:
        StoreError: the table cannot be read.
    """
    every = {**fields_of(_IDS, "spans"), **fields}
    raw = tuple(dict.fromkeys((*_TIMES, *(name for field in every.values() for name in field.raw))))

    def columns(rows: pa.Table) -> pl.DataFrame:
        batch = Evaluation(sound_columns(rows, raw))
        spans = pl.DataFrame({name: batch.flat(name).cast(pa.timestamp("us", "UTC")) for name in _TIMES})
        owners = pl.Series("_row", batch.parent("spans"), dtype=pl.Int64)
        spans = spans.with_columns(
            owners, *(_series(batch, field, "spans").alias(f"field {name}") for name, field in every.items())
        )
        by_trace = spans.group_by("_row", maintain_order=True).agg(pl.all())
        traces = distinguishing(rows).with_columns(_row=pl.int_range(pl.len(), dtype=pl.Int64))
        return traces.join(by_trace, on="_row", how="left").drop("_row")

    found = _counted(table, facts, raw, columns)
    listed = [*_TIMES, *(f"field {name}" for name in every)]
    rows = found.filter(pl.col(_TIMES[0]).list.len() > 0).sort("start_us", "trace_id").explode(listed)
    return rows.select(
        "trace_id",
        *(pl.col(f"field {name}").alias(name) for name in _IDS),
        pl.col(_TIMES[0]).alias("start"),
        pl.col(_TIMES[1]).alias("end"),
        *(pl.col(f"field {name}").alias(name) for name in fields if name not in _IDS),
    )


def _counted(
    table: TraceTable, facts: pl.DataFrame, raw: Sequence[str], columns: Callable[[pa.Table], pl.DataFrame]
) -> pl.DataFrame:
    """What ``columns`` makes of the rows that were counted."""
    none = columns(pa.Table.from_batches([], schema=TRACES))
    pieces = table.each(facts.select("trace_id", "start_us"), raw, columns)
    return counted(pl.concat([none, *pieces]), facts)


def _series(batch: Evaluation, field: Field, scope: str) -> pl.Series:
    value = batch.value(field, scope)
    if isinstance(value, Texts):
        codes = value.codes.astype(np.int64)
        return pl.Series(value.arrow.take(pa.array(codes, mask=codes < 0)), dtype=pl.String)
    return pl.Series(value, dtype=pl.Float64).fill_nan(None)

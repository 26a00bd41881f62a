"""Traces as they landed, and how far landing is."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import I64, STR

SPAN_EVENT: Final = pa.struct(
    [
        pa.field("name", STR),
        pa.field("timestamp", pa.timestamp("us", "UTC")),
        pa.field("attributes", pa.map_(STR, STR)),
    ]
)

SPAN: Final = pa.struct(
    [
        pa.field("span_id", STR),
        pa.field("trace_id", STR),
        pa.field("parent_id", STR),
        pa.field("start_time", pa.timestamp("us", "UTC")),
        pa.field("end_time", pa.timestamp("us", "UTC")),
        pa.field("status_code", STR),
        pa.field("status_message", STR),
        pa.field("name", STR),
        pa.field("attributes", pa.map_(STR, STR)),
        pa.field("events", pa.list_(SPAN_EVENT)),
    ]
)

ASSESSMENT: Final = pa.struct(
    [
        pa.field("assessment_id", STR),
        pa.field("assessment_name", STR),
        pa.field("source_type", STR),
        pa.field("source_id", STR),
        pa.field("create_time", pa.timestamp("us", "UTC")),
        pa.field("last_update_time", pa.timestamp("us", "UTC")),
        pa.field("feedback_value", STR),  # JSON
        pa.field("feedback_error", STR),
        pa.field("expectation_value", STR),  # JSON
        pa.field("rationale", STR),
        pa.field("span_id", STR),
    ]
)

TRACES: Final = pa.schema(
    [
        pa.field("trace_id", STR),
        pa.field("experiment_id", STR),
        pa.field("experiment_name", STR),
        pa.field("client_request_id", STR),
        pa.field("request_time", pa.timestamp("us", "UTC")),
        pa.field("state", STR),
        pa.field("execution_duration_ms", pa.float64()),
        pa.field("request", STR),
        pa.field("response", STR),
        pa.field("trace_metadata", pa.map_(STR, STR)),
        pa.field("tags", pa.map_(STR, STR)),
        pa.field("spans", pa.list_(SPAN)),
        pa.field("assessments", pa.list_(ASSESSMENT)),
        # when landing wrote the row; strictly increasing from one landing commit to the next
        pa.field("landed_us", I64),
    ]
)

# Where a table has no such column, what it says in the column `trace_location` of Databricks' trace tables, a
# struct or JSON: the experiment that a trace was logged to, or else the table.
LOCATION: Final = "trace_location"
LOCATED: Final = {
    "experiment_id": ("mlflow_experiment", "experiment_id"),
    "experiment_name": ("inference_table", "full_table_name"),
}

LANDING: Final = pa.schema(
    [
        pa.field("experiment_id", STR),
        pa.field("kind", STR),  # slice | reconcile | recount | sweep | backlog; a reconcile is a watermark
        pa.field("from_us", I64),  # (from, to] of end time
        pa.field("to_us", I64),
        pa.field("landed", I64),
        pa.field("skipped", I64),  # ids known already
        pa.field("in_progress", I64),
        pa.field("missed", I64),  # a reconcile found this many that slices had not
        pa.field("landed_through_us", I64),  # greatest landed_us written so far by landing
        pa.field("at_us", I64),
    ]
)


def _landing(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Old rows become one row an experiment and kind: cursors are the greatest and least times of all
    rows.
    """
    old = rows.filter(pl.col("at_us") < expiry.cutoff_us)
    summed = old.group_by("experiment_id", "kind", maintain_order=True).agg(
        pl.col("from_us").min(),
        pl.col("to_us").max(),
        pl.col("landed", "skipped").sum(),
        pl.col("in_progress").last(),
        pl.col("missed").sum(),
        pl.col("landed_through_us", "at_us").max(),
    )
    return pl.concat([summed.select(rows.columns), rows.filter(pl.col("at_us") >= expiry.cutoff_us)])


TABLES: Final[dict[str, TableSpec]] = {
    "traces": TableSpec(TRACES, "landing", "landed_us", 30),
    "landing": TableSpec(LANDING, "landing", "at_us", 7, _landing),
}

"""Which version each trace is of: a key of its group, or what the trace table holds of it."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from rules.groups import group_columns, group_values, raw_columns
from rules.matcher import raw_table
from rules.matcher.batch import Batch
from store.content import TraceTable
from tracesieve.errors import TracesieveError

NEEDED = ("group_by", "group", "start_us")  # columns of facts
_SHORT = {"mlflow.modelId": "metadata.mlflow.modelId"}  # where MLflow itself writes it


def version_key(text: str) -> str:
    """The key as ``group_by`` knows it.

    Raises:
        TracesieveError: there is no such key.
    """
    key = _SHORT.get(text, text)
    try:
        raw_columns(key)
    except ValueError as error:
        raise TracesieveError(f"--compare {text}=…: {error}, or mlflow.modelId") from error
    return key


def with_versions(facts: pl.DataFrame, key: str, table: TraceTable) -> pl.DataFrame:
    """The facts with ``version``, ``""`` where a trace has none, null where it is not known any more.

    ``facts`` has :data:`NEEDED`, ``trace_id`` and ``arrived_us``.

    Raises:
        StoreError: the trace table cannot be read.
    """
    place = pl.col("group_by").list.eval(pl.element() == key).list.arg_max()
    there = pl.col("group_by").list.contains(key).fill_null(False)
    of_group = pl.when(there).then(pl.col("group").list.get(place, null_on_oob=True))
    facts = facts.with_columns(version=of_group)
    unknown = facts.filter(pl.col("version").is_null())
    if unknown.is_empty():
        return facts
    found = _of_table(unknown, key, table)
    return (
        facts.join(found, on="trace_id", how="left")
        .with_columns(pl.coalesce("version", "in_table").alias("version"))
        .drop("in_table")
    )


def _of_table(facts: pl.DataFrame, key: str, table: TraceTable) -> pl.DataFrame:
    """``trace_id`` and ``in_table``, of the row that was counted."""
    columns = group_columns([key])

    def read(rows: pa.Table) -> pl.DataFrame:
        values = group_values(Batch(raw_table(rows, columns)), [key]).flatten()
        landed = rows["landed_us"] if "landed_us" in rows.column_names else pa.nulls(len(values), pa.int64())
        frame = pl.DataFrame({"trace_id": rows["trace_id"], "landed_us": landed.cast(pa.int64())})
        return frame.with_columns(in_table=pl.Series(values, dtype=pl.String))

    kind = {"trace_id": pl.String, "landed_us": pl.Int64, "in_table": pl.String}
    pieces = table.each(facts.select("trace_id", "start_us"), columns, read)
    rows = pl.concat([pl.DataFrame(schema=kind), *pieces])
    rows = rows.join(facts.select("trace_id", "arrived_us"), on="trace_id")
    counted = (pl.col("landed_us") == pl.col("arrived_us")).fill_null(False)
    rows = rows.sort(counted, pl.col("landed_us").fill_null(-1), maintain_order=True)
    return rows.unique("trace_id", keep="last", maintain_order=True).select("trace_id", "in_table")

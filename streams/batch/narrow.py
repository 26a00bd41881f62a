"""What Spark does of a batch: reading the columns that rules name, matching, and handing over narrow rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from streams.batch.columns import raw_frame
from streams.batch.match import PACKED_DDL, mapper, plan, unpacked

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from rules.rule_set import RuleSet
    from streams.batch.config import BatchConfig


def narrow_plan(frame: DataFrame, rules: RuleSet, config: BatchConfig) -> DataFrame:
    """The plan from a source's rows to narrow rows, packed (``streams.batch.match.PACKED_DDL``).

    It belongs to the query: what ``foreachBatch`` is given has been read whole, and no column of that is
    pruned.
    """
    todo = plan(rules, config.group_by, usage_from_spans=config.usage_from_spans)
    return raw_frame(frame, todo.columns, dict(config.table.columns)).mapInArrow(mapper(todo), PACKED_DDL)


def matched(frame: DataFrame) -> pa.Table:
    """The narrow rows of a frame of :func:`narrow_plan`; the one place where a batch makes Spark work."""
    return unpacked(frame.toArrow())


def with_arrivals(
    narrow: pa.Table, config: BatchConfig, batch_id: int, now_us: int
) -> tuple[pl.DataFrame, int]:
    """Narrow rows with ``arrived_us``, and how many rows the source's log says were deleted.

    A row arrived when it says it was written (``landed_us``), else when its file was committed.
    """
    frame = pl.DataFrame(narrow)
    files = frame.filter(pl.col("landed_us").is_null())["file"].drop_nulls().unique().to_list()
    found = config.table.arrivals(config.checkpoint, batch_id, files)
    committed = now = pl.lit(now_us, dtype=pl.Int64)
    if found.times_us:
        committed = pl.col("file").replace_strict(found.times_us, default=now, return_dtype=pl.Int64)
    arrived = pl.coalesce("landed_us", committed).cast(pl.Int64).alias("arrived_us")
    return frame.with_columns(arrived), found.deleted

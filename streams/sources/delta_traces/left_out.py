"""How many rows of a table a first start leaves out, by the statistics in its log: no file is read."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from rules.units import utc
from streams.sources.base import LeftOut


def rows_before(uri: str, start_column: str, before_us: int) -> LeftOut:
    """The rows of files in which every trace began before a time; rows of other files may have, too.

    Their number is not known where the log has no statistics of that column.
    """
    files = pl.DataFrame(pl.from_arrow(pa.table(DeltaTable(uri).get_add_actions(flatten=True))))
    latest = f"max.{start_column}"
    if latest not in files.columns or "num_records" not in files.columns:
        return LeftOut(None, before_us)
    old = pl.col(latest).cast(pl.Datetime("us", "UTC"), strict=False) < utc(before_us)
    return LeftOut(int(files.filter(old)["num_records"].sum() or 0), before_us)

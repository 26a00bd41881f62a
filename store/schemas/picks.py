"""Traces that somebody put into a dataset by a search, or took out of it again."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from store.schemas.spec import TableSpec
from store.schemas.types import I64, STR

DATASET_PICKS: Final = pa.schema(
    [
        pa.field("request_id", STR),  # of one search: all its rows are in one commit
        pa.field("asked_us", I64),  # rises from search to search, also when the clock is set back
        pa.field("trace_id", STR),
        pa.field("start_us", I64),
        pa.field("dataset", STR),  # its name after the prefix
        pa.field("condition", STR),  # of the search, as it was written; null: taken out again
    ]
)

TABLES: Final[dict[str, TableSpec]] = {
    "dataset_picks": TableSpec(DATASET_PICKS, "search", "start_us", 90),
}

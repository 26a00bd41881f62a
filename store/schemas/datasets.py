"""Versions of datasets, and their records; both are kept for ever."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from store.schemas.spec import TableSpec
from store.schemas.types import I64, STR, STRINGS

DATASET_VERSIONS: Final = pa.schema(
    [
        pa.field("number", I64),  # rises by one a row
        pa.field("dataset", STR),  # its name on the server
        pa.field("dataset_id", STR),
        pa.field("experiment_id", STR),
        pa.field("experiment", STR),
        pa.field("version", STR),  # sha256 over what an evaluation reads of the records
        pa.field("at_us", I64),
        pa.field("records", I64),
        pa.field("sources", I64),  # traces behind the records, each once
        pa.field("record_hashes", STRINGS),  # in the order of the digests of the inputs
        pa.field("note", STR),  # JSON: coverage, and what was left out by reason, at that time
    ]
)

DATASET_RECORDS: Final = pa.schema(
    [
        pa.field("record_hash", STR),  # sha256 of the text
        pa.field("text", STR),  # the record as JSON, ASCII, keys sorted
    ]
)

DATASET_REQUESTS: Final = pa.schema(
    [
        pa.field("asked_us", I64),  # rises, also when the clock is set back
        pa.field("datasets", STRINGS),  # none: all
    ]
)

TABLES: Final[dict[str, TableSpec]] = {
    "dataset_versions": TableSpec(DATASET_VERSIONS, "versions"),
    # Records may hold megabytes each: few are decoded at once.
    "dataset_records": TableSpec(DATASET_RECORDS, "versions", row_group=500),
    "dataset_requests": TableSpec(DATASET_REQUESTS, "datasets", "asked_us", 30),
}

"""What `tracesieve apply` was asked, and how far each request has come."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from store.schemas.spec import TableSpec
from store.schemas.types import I64, STR, STRINGS

APPLY_REQUESTS: Final = pa.schema(
    [
        pa.field("request_id", STR),
        pa.field("rules", STRINGS),  # ids; none: all rules
        pa.field("from_us", I64),  # traces that ended from here on
        pa.field("to_us", I64),  # up to here, exclusive
        pa.field("asked", STR),  # the options as they were given: an equal request that is open is joined
        pa.field("asked_us", I64),
    ]
)

# A row for each attempt at a piece; the last row of a batch whose end row is in `batches` counts.
APPLY_PROGRESS: Final = pa.schema(
    [
        pa.field("request_id", STR),
        pa.field("batch_id", I64),  # of the stream `apply`
        pa.field("rule_set_hash", STR),
        pa.field("from_us", I64),
        pa.field("to_us", I64),
        pa.field("done", pa.bool_()),  # whether it is the last piece of its request
        pa.field("at_us", I64),
        pa.field("traces", I64),
        pa.field("changed", I64),
        pa.field("regrouped", I64),
        pa.field("gone", I64),  # the source no longer has them
        pa.field("uncounted", I64),  # the source has another content, which the stream has not counted
        pa.field("rules", STR),  # JSON: by rule id before, after, gained, lost
    ]
)

TABLES: Final[dict[str, TableSpec]] = {
    "apply_requests": TableSpec(APPLY_REQUESTS, "apply", "asked_us", 400),
    "apply_progress": TableSpec(APPLY_PROGRESS, "run", "at_us", 400),
}

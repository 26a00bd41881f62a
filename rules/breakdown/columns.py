"""The raw columns that a breakdown reads, and the column that it makes."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from rules.dialect.fields import SPAN_TYPE, SPAN_USAGE

NAME: Final = "spans.name"
SPAN_ID: Final = "spans.span_id"
PARENT_ID: Final = "spans.parent_id"
START: Final = "spans.start_time"
END: Final = "spans.end_time"
STATUS: Final = "spans.status_code"
SPAN_COST: Final = "spans.attributes[mlflow.llm.cost]"
breakdown_columns: Final = (
    SPAN_ID,
    PARENT_ID,
    NAME,
    SPAN_TYPE,
    STATUS,
    START,
    END,
    SPAN_USAGE,
    SPAN_COST,
)
AMOUNTS: Final = ("tokens_input", "tokens_output", "tokens_total", "cost_nusd")
_I64, _STR = pa.int64(), pa.string()
# One item for all spans of a type and a name in a trace.
BREAKDOWN: Final = pa.struct(
    [
        pa.field("type", _STR),
        pa.field("name", _STR),
        pa.field("calls", _I64),
        pa.field("errors", _I64),
        pa.field("total_us", _I64),  # durations added up; null: not one span has one
        pa.field("self_us", _I64),  # without the time in which a child ran
        pa.field("critical_us", _I64),  # its part of the critical path
        pa.field("parallel_us", _I64),  # how much longer its children would have run one after the other
        pa.field("tokens_input", _I64),  # what the spans themselves used; null: not one of them reports
        pa.field("tokens_output", _I64),
        pa.field("tokens_total", _I64),
        pa.field("cost_nusd", _I64),
        # the histogram of durations (rules/alerting/histogram.py); empty for one call, whose duration is
        # total_us
        pa.field("bucket_index", pa.list_(pa.int32())),
        pa.field("bucket_count", pa.list_(_I64)),
    ]
)

"""The raw columns that a breakdown reads, and the sums that it makes."""

from __future__ import annotations

from typing import Final

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
# What is kept of all spans of a type and a name in a trace, in this order: calls; errors; durations added up,
# -1 where not one span has one; the same without the time in which a child ran; its part of the critical
# path; how much longer its children would have run one after the other; what the spans themselves used, -1
# where not one of them reports.
SUMS: Final = ("calls", "errors", "total_us", "self_us", "critical_us", "parallel_us", *AMOUNTS)

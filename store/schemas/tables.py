"""The columns of every table in the store, as Arrow schemas.

Times are integer microseconds since the epoch, UTC (``…_us``); money is integer 1e-9 USD (``…_nusd``), so
that whatever is summed gives the same answer in any order, split or replay.  ``TABLES`` names, for each
table, its schema, its single writer and the time column by which it expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

_STR = pa.string()
_I64 = pa.int64()

HIT: Final = pa.struct([pa.field("rule", _STR), pa.field("hash", _STR)])

SPAN_EVENT: Final = pa.struct(
    [
        pa.field("name", _STR),
        pa.field("timestamp", pa.timestamp("us", "UTC")),
        pa.field("attributes", pa.map_(_STR, _STR)),
    ]
)
SPAN: Final = pa.struct(
    [
        pa.field("span_id", _STR),
        pa.field("trace_id", _STR),
        pa.field("parent_id", _STR),
        pa.field("start_time", pa.timestamp("us", "UTC")),
        pa.field("end_time", pa.timestamp("us", "UTC")),
        pa.field("status_code", _STR),
        pa.field("status_message", _STR),
        pa.field("name", _STR),
        pa.field("attributes", pa.map_(_STR, _STR)),
        pa.field("events", pa.list_(SPAN_EVENT)),
    ]
)
ASSESSMENT: Final = pa.struct(
    [
        pa.field("assessment_id", _STR),
        pa.field("assessment_name", _STR),
        pa.field("source_type", _STR),
        pa.field("source_id", _STR),
        pa.field("create_time", pa.timestamp("us", "UTC")),
        pa.field("last_update_time", pa.timestamp("us", "UTC")),
        pa.field("feedback_value", _STR),  # JSON
        pa.field("feedback_error", _STR),
        pa.field("expectation_value", _STR),  # JSON
        pa.field("rationale", _STR),
        pa.field("span_id", _STR),
    ]
)

TRACES: Final = pa.schema(
    [
        pa.field("trace_id", _STR),
        pa.field("experiment_id", _STR),
        pa.field("experiment_name", _STR),
        pa.field("client_request_id", _STR),
        pa.field("request_time", pa.timestamp("us", "UTC")),
        pa.field("state", _STR),
        pa.field("execution_duration_ms", pa.float64()),
        pa.field("request", _STR),
        pa.field("response", _STR),
        pa.field("trace_metadata", pa.map_(_STR, _STR)),
        pa.field("tags", pa.map_(_STR, _STR)),
        pa.field("spans", pa.list_(SPAN)),
        pa.field("assessments", pa.list_(ASSESSMENT)),
        pa.field(
            "landed_us", _I64
        ),  # when landing wrote the row; strictly increasing from one landing commit to the next
    ]
)

FACTS: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field(
            "weight", pa.int8()
        ),  # +1 stands, -1 withdraws, 0 was seen and counts for nothing (state: LEFT_OUT, SEEN)
        pa.field("trace_id", _STR),
        pa.field("experiment_id", _STR),
        pa.field("experiment", _STR),  # the experiment's name, else its id, else ""
        pa.field("group_by", _STR),  # comma-joined keys in force when the row was written
        pa.field("group", pa.list_(_STR)),  # their values, "" for null
        pa.field("start_us", _I64),
        pa.field("end_us", _I64),
        pa.field("state", _STR),
        pa.field("error", pa.bool_()),
        pa.field("duration_us", _I64),
        pa.field("tokens_input", _I64),
        pa.field("tokens_output", _I64),
        pa.field("tokens_total", _I64),
        pa.field("cost_nusd", _I64),
        pa.field("content_hash", _I64),
        pa.field("change_us", _I64),
        pa.field("arrived_us", _I64),  # landed_us, or the commit time of the source file
        pa.field("late", pa.bool_()),
        pa.field("hits", pa.list_(HIT)),
    ]
)

WINDOWS: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field("start_us", _I64),  # first microsecond of the window
        pa.field("size_us", _I64),  # 60 s, or more once compacted
        pa.field("group_by", _STR),
        pa.field("group", pa.list_(_STR)),
        pa.field(
            "rule_hash", _STR
        ),  # "" = all traces; else only those for which that window rule's `where` holds
        pa.field("traces", _I64),
        pa.field("errors", _I64),
        pa.field("timed", _I64),  # traces that have a duration
        pa.field("duration_sum_us", _I64),
        pa.field("bucket_index", pa.list_(pa.int32())),  # exponential histogram, rules/alerting/histogram.py
        pa.field("bucket_count", pa.list_(_I64)),
        pa.field("tokens_input", _I64),
        pa.field("tokens_input_known", _I64),
        pa.field("tokens_output", _I64),
        pa.field("tokens_output_known", _I64),
        pa.field("tokens_total", _I64),
        pa.field("tokens_total_known", _I64),
        pa.field("cost_nusd", _I64),
        pa.field("cost_known", _I64),
    ]
)

BATCHES: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field("phase", _STR),  # begin | end
        pa.field("now_us", _I64),  # the batch's time; a retry keeps that of the first attempt
        pa.field(
            "verdicts_through_us", _I64
        ),  # begin: last instant whose verdicts were in (what "late" compares with)
        pa.field("rule_set_hash", _STR),
        pa.field("config_hash", _STR),
        pa.field("group_by", _STR),
        pa.field("rows", _I64),  # end: from here on
        pa.field("counted", _I64),
        pa.field("duplicates", _I64),
        pa.field("late", _I64),
        pa.field("amended", _I64),
        pa.field("expired", _I64),
        pa.field("left_out", _I64),
        pa.field("in_progress", _I64),
        pa.field("quarantined", _I64),
        pa.field(
            "deleted", _I64
        ),  # rows that DELETE and MERGE took out of a Delta source; counted, not applied
        pa.field("arrived_through_us", _I64),  # greatest arrived_us among the rows of the batch
    ]
)

PACKS: Final = pa.schema(
    [
        pa.field("rule_set_hash", _STR),
        pa.field("loaded_us", _I64),
        pa.field("group_by", _STR),
        pa.field("rule_set", _STR),
    ]
)

QUARANTINE: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field("trace_id", _STR),
        pa.field("reason", _STR),  # a short code, safe as a metric label
        pa.field("detail", _STR),
        pa.field("arrived_us", _I64),
        pa.field("now_us", _I64),
    ]
)

IN_PROGRESS: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field("trace_id", _STR),
        pa.field("start_us", _I64),
        pa.field("now_us", _I64),
    ]
)

CANDIDATES: Final = pa.schema(
    [
        pa.field("stream_id", _STR),
        pa.field("batch_id", _I64),
        pa.field("trace_id", _STR),
        pa.field("start_us", _I64),
        pa.field("candidate", _STR),  # a person's own eval_candidate; null: taken back
        pa.field("arrived_us", _I64),
        pa.field("now_us", _I64),
    ]
)

LANDING: Final = pa.schema(
    [
        pa.field("experiment_id", _STR),
        pa.field("kind", _STR),  # slice | reconcile | sweep | backlog
        pa.field("from_us", _I64),  # (from, to] of end time
        pa.field("to_us", _I64),
        pa.field("landed", _I64),
        pa.field("skipped", _I64),  # ids known already
        pa.field("in_progress", _I64),
        pa.field("missed", _I64),  # a reconcile found this many that slices had not
        pa.field("landed_through_us", _I64),  # greatest landed_us written so far by landing
        pa.field("at_us", _I64),
    ]
)

VERDICTS: Final = pa.schema(
    [
        pa.field(
            "weight", pa.int8()
        ),  # changelog like facts: a recomputed history withdraws transitions with -1
        pa.field("rule", _STR),
        pa.field("rule_hash", _STR),
        pa.field("by", _STR),  # comma-joined keys
        pa.field("group", pa.list_(_STR)),
        pa.field("instant_us", _I64),
        pa.field("state", _STR),  # pending | firing | inactive | superseded | regrouped
        pa.field("since_us", _I64),  # instant at which the present episode began to fire (firing), or to pend
        pa.field("value", pa.float64()),
        pa.field("traces", _I64),
        pa.field("errors", _I64),
        pa.field("written_us", _I64),
    ]
)

EVIDENCE: Final = pa.schema(
    [
        pa.field("episode", _STR),
        pa.field("rule", _STR),
        pa.field("rule_hash", _STR),
        pa.field("group", pa.list_(_STR)),
        pa.field("instant_us", _I64),
        pa.field("trace_id", _STR),
        pa.field("start_us", _I64),
        pa.field("rank", _I64),
    ]
)

NOTIFICATIONS: Final = pa.schema(
    [
        pa.field("key", _STR),
        pa.field("episode", _STR),
        pa.field("status", _STR),  # firing | resolved
        pa.field("reason", _STR),  # crossed | cleared | no_data | superseded | regrouped | revised
        pa.field("rule", _STR),
        pa.field("rule_hash", _STR),
        pa.field("severity", _STR),
        pa.field("by", _STR),
        pa.field("group", pa.list_(_STR)),
        pa.field("starts_us", _I64),
        pa.field("instant_us", _I64),
        pa.field("value", pa.float64()),
        pa.field("condition", _STR),
        pa.field("summary", _STR),
        pa.field("traces", _I64),
        pa.field("errors", _I64),
        pa.field("evidence", pa.list_(_STR)),
        pa.field("paged", pa.bool_()),  # false: too old to page (page_if_newer_than)
        pa.field("notified_us", _I64),
    ]
)

OUTBOX: Final = pa.schema(
    [
        pa.field("key", _STR),  # deterministic: the same wish made twice has the same key
        pa.field("seq", _I64),  # rises by one a wish
        pa.field("sink", _STR),
        pa.field("target", _STR),  # what a newer wish supersedes: a trace id, an alert's fingerprint, …
        pa.field("payload", _STR),  # JSON
        pa.field("created_us", _I64),
    ]
)

DELIVERIES: Final = pa.schema(
    [
        pa.field("key", _STR),
        pa.field("sink", _STR),
        pa.field("target", _STR),
        pa.field("outcome", _STR),  # delivered | superseded | retry | dead | dropped | requeued
        pa.field("detail", _STR),
        pa.field("result", _STR),  # JSON: what was written, so that undo can take it back
        pa.field("at_us", _I64),
    ]
)

RECORDS: Final = pa.schema(
    [
        pa.field("weight", pa.int8()),  # changelog: which trace is a source of which dataset record
        pa.field("dataset", _STR),
        pa.field("dataset_id", _STR),
        pa.field("record", _STR),  # sha256 of the canonical JSON of the inputs
        pa.field("record_id", _STR),  # the server's id, once known
        pa.field("trace_id", _STR),
        pa.field("end_us", _I64),
        pa.field("rules", pa.list_(HIT)),
        pa.field("reason", _STR),
        pa.field("at_us", _I64),
    ]
)


@dataclass(frozen=True)
class TableSpec:
    """One table: its columns, who alone may append to it, and the column by which old rows expire (None:
    never).
    """

    schema: pa.Schema
    writer: str
    expires_by: str | None = None


TABLES: Final[dict[str, TableSpec]] = {
    "traces": TableSpec(TRACES, "landing", "landed_us"),
    "landing": TableSpec(LANDING, "landing", "at_us"),
    "batches": TableSpec(BATCHES, "batch", "now_us"),
    "rule_sets": TableSpec(PACKS, "run"),
    "facts": TableSpec(FACTS, "batch", "end_us"),
    "windows": TableSpec(WINDOWS, "batch", "start_us"),
    "quarantine": TableSpec(QUARANTINE, "batch", "now_us"),
    "in_progress": TableSpec(IN_PROGRESS, "batch", "now_us"),
    "candidates": TableSpec(CANDIDATES, "batch", "start_us"),
    "verdicts": TableSpec(VERDICTS, "verdicts", "instant_us"),
    "evidence": TableSpec(EVIDENCE, "verdicts", "instant_us"),
    "notifications": TableSpec(NOTIFICATIONS, "notifications", "notified_us"),
    "outbox": TableSpec(OUTBOX, "outbox", "created_us"),
    "deliveries": TableSpec(DELIVERIES, "delivery", "at_us"),
    "records": TableSpec(RECORDS, "delivery"),
}

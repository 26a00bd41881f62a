"""What the batch writes: facts, the windows they make, its side outputs, and the batches themselves."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import HIT, I64, STR, STRINGS

FACTS: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        # +1 stands, -1 withdraws, 0 was seen and counts for nothing (state: LEFT_OUT, SEEN)
        pa.field("weight", pa.int8()),
        pa.field("trace_id", STR),
        pa.field("experiment_id", STR),
        pa.field("experiment", STR),  # the experiment's name, else its id, else ""
        pa.field("group_by", STRINGS),  # the keys in force when the row was written
        pa.field("group", STRINGS),  # their values, "" for null
        pa.field("start_us", I64),
        pa.field("end_us", I64),
        pa.field("state", STR),
        pa.field("error", pa.bool_()),
        pa.field("duration_us", I64),
        pa.field("tokens_input", I64),
        pa.field("tokens_output", I64),
        pa.field("tokens_total", I64),
        pa.field("tokens_cache_read", I64),  # a part of the input; null in rows of a program that knew none
        pa.field("tokens_cache_write", I64),
        pa.field("cost_nusd", I64),
        pa.field("content_hash", I64),
        pa.field("change_us", I64),
        pa.field("arrived_us", I64),  # landed_us, or the commit time of the source file
        pa.field("late", pa.bool_()),  # no backlog, and the verdicts of its minute were in
        pa.field("hits", pa.list_(HIT)),
        # Where time and tokens went (rules/breakdown/stored.py); null where weight is 0, and in facts of a
        # program that did not know it yet, which `tracesieve apply` fills.
        pa.field("span_keys", STR),
        pa.field("span_sums", pa.binary()),
        pa.field("usage_disagrees", pa.bool_()),  # null: nothing to compare
        # Where its failure began, as JSON (rules/failures/failure.py); null where nothing failed.
        pa.field("failure", STR),
    ]
)

WINDOWS: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("start_us", I64),  # first microsecond of the window
        pa.field("size_us", I64),  # 60 s, or more once compacted
        pa.field("group_by", STRINGS),
        pa.field("group", STRINGS),
        # "" = all traces; else only those for which that window rule's `where` holds
        pa.field("rule_hash", STR),
        pa.field("traces", I64),
        pa.field("errors", I64),
        pa.field("timed", I64),  # traces that have a duration
        pa.field("duration_sum_us", I64),
        pa.field("bucket_index", pa.list_(pa.int32())),  # exponential histogram, rules/alerting/histogram.py
        pa.field("bucket_count", pa.list_(I64)),
        pa.field("tokens_input", I64),
        pa.field("tokens_input_known", I64),
        pa.field("tokens_output", I64),
        pa.field("tokens_output_known", I64),
        pa.field("tokens_total", I64),
        pa.field("tokens_total_known", I64),
        pa.field("tokens_cache_read", I64),  # null, as those below, in rows of a program that knew none
        pa.field("tokens_cache_read_known", I64),
        pa.field("tokens_cache_write", I64),
        pa.field("tokens_cache_write_known", I64),
        pa.field("cost_nusd", I64),
        pa.field("cost_known", I64),
    ]
)

BATCHES: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("phase", STR),  # begin | end
        pa.field("now_us", I64),  # the batch's time; a retry keeps that of the first attempt
        # begin: last instant whose verdicts were in (what "late" compares with)
        pa.field("verdicts_through_us", I64),
        pa.field("rule_set_hash", STR),
        pa.field("config_hash", STR),
        pa.field("group_by", STRINGS),
        pa.field("rows", I64),  # end: from here on
        pa.field("counted", I64),
        pa.field("duplicates", I64),
        pa.field("late", I64),
        pa.field("amended", I64),
        pa.field("expired", I64),
        pa.field("left_out", I64),
        pa.field("in_progress", I64),
        pa.field("quarantined", I64),
        # rows that DELETE and MERGE took out of a Delta source; counted, not applied
        pa.field("deleted", I64),
        pa.field("arrived_through_us", I64),  # greatest arrived_us among the rows of the batch
        # begin and end: when the run began that did the batch (what backlog ended before)
        pa.field("run_began_us", I64),
        pa.field("backlog", I64),  # end: of the counted traces
    ]
)

QUARANTINE: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("trace_id", STR),
        pa.field("reason", STR),  # a short code, safe as a metric label
        pa.field("detail", STR),
        pa.field("arrived_us", I64),
        pa.field("now_us", I64),
    ]
)

IN_PROGRESS: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("trace_id", STR),
        pa.field("start_us", I64),
        pa.field("now_us", I64),
    ]
)

PERSON_LABELS: Final = pa.schema(
    [
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("trace_id", STR),
        pa.field("start_us", I64),
        pa.field("label", STR),  # a person's own eval_candidate; null: taken back
        pa.field("arrived_us", I64),
        pa.field("now_us", I64),
    ]
)

# Why a query ended, from the batch that ended it; see store/query_ends.py.
QUERY_ENDS: Final = pa.schema(
    [
        pa.field("query_id", STR),  # one start of the query
        pa.field("stream_id", STR),
        pa.field("batch_id", I64),
        pa.field("reason", STR),  # rules_changed | failed
        pa.field("error", STR),  # the name of the error's class
        pa.field("exit_code", I64),
        pa.field("message", STR),  # one line
        pa.field("at_us", I64),
    ]
)


def _batches(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: the last batch of each stream, which says where its followers are."""
    last = (
        expiry.store.table("batches")
        .read(["stream_id", "batch_id"])
        .group_by("stream_id")
        .agg(pl.col("batch_id").max())
    )
    return rows.filter(
        (pl.col("now_us") >= expiry.cutoff_us)
        | pl.struct("stream_id", "batch_id").is_in(last.to_struct().implode())
    )


TABLES: Final[dict[str, TableSpec]] = {
    "batches": TableSpec(BATCHES, "batch", "now_us", 30, _batches),
    "facts": TableSpec(FACTS, "batch", "end_us", 90, detail=("span_keys", "span_sums", "failure")),
    "windows": TableSpec(WINDOWS, "batch", "start_us", 400),
    "quarantine": TableSpec(QUARANTINE, "batch", "now_us", 30),
    "in_progress": TableSpec(IN_PROGRESS, "batch", "now_us", 30),
    "person_labels": TableSpec(PERSON_LABELS, "batch", "start_us", 90),
    "query_ends": TableSpec(QUERY_ENDS, "batch", "at_us", 30),
}

"""Candidates of datasets; versions of datasets, and their records, which are kept for ever."""

from __future__ import annotations

import json
from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import I64, STR, STRINGS

DATASET_CANDIDATES: Final = pa.schema(
    [
        pa.field("number", I64),  # rises by one a row; of a trace the last row stands
        pa.field("trace_id", STR),
        pa.field("end_us", I64),
        pa.field("decision", STR),  # JSON: the categories that feed datasets; none: no candidate any more
        pa.field("content_hash", I64),
        pa.field("outcome", STR),  # error | handled | ok
        pa.field("duration_us", I64),
        pa.field("group_by", STRINGS),
        pa.field("group", STRINGS),
        pa.field("pattern", STR),  # the failure's fingerprint; null: nothing failed, as in those below
        pa.field("error_type", STR),
        pa.field("pattern_text", STR),
        pa.field("record", STR),  # digest of the inputs; null: they are not known, as in those below
        pa.field("inputs", STR),  # digest of the normalised inputs
        pa.field("signature", pa.binary()),  # MinHash of their words
    ]
)

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


def _candidates(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: the last row of each trace that is in a dataset, as its newest message says, or that has rows
    which do not expire yet.
    """
    every = expiry.store.table("dataset_candidates").read(["number", "trace_id", "end_us"])
    last = every.group_by("trace_id").agg(pl.col("number").max(), pl.col("end_us").max())
    old = last.filter(pl.col("end_us") < expiry.cutoff_us)
    of_them = pl.col("target").is_in(old["trace_id"].implode())
    messages = expiry.store.table("outbox").read(["seq", "sink", "target", "payload"], of_them).sort("seq")
    newest = messages.unique(["sink", "target"], keep="last", maintain_order=True)
    inside = [
        target
        for target, payload in newest.select("target", "payload").iter_rows()
        if "end_us" in (content := json.loads(payload)) and content.get("categories")  # not of tags
    ]
    stay = last.filter((pl.col("end_us") >= expiry.cutoff_us) | pl.col("trace_id").is_in(inside))
    return rows.filter(
        (pl.col("end_us") >= expiry.cutoff_us) | pl.col("number").is_in(stay["number"].implode())
    )


TABLES: Final[dict[str, TableSpec]] = {
    "dataset_candidates": TableSpec(DATASET_CANDIDATES, "outbox", "end_us", 90, _candidates),
    "dataset_versions": TableSpec(DATASET_VERSIONS, "versions"),
    # Records may hold megabytes each: few are decoded at once.
    "dataset_records": TableSpec(DATASET_RECORDS, "versions", row_group=500),
    "dataset_requests": TableSpec(DATASET_REQUESTS, "datasets", "asked_us", 30),
}

"""Messages to outside systems, what became of them, and the dataset records that they made."""

from __future__ import annotations

import json
from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import HIT, I64, STR

FINAL: Final = ("delivered", "superseded", "dead", "dropped")
SETTLED: Final = ("delivered", "superseded")  # no later outcome of the same message undoes these


OUTBOX: Final = pa.schema(
    [
        pa.field("key", STR),  # deterministic: the same message made twice has the same key
        pa.field("seq", I64),  # rises by one a message
        pa.field("sink", STR),
        pa.field("target", STR),  # what a newer message supersedes: a trace id, an alert's fingerprint, …
        pa.field("payload", STR),  # JSON
        pa.field("created_us", I64),
    ]
)

DELIVERIES: Final = pa.schema(
    [
        pa.field("key", STR),
        pa.field("sink", STR),
        pa.field("target", STR),
        pa.field("outcome", STR),  # delivered | superseded | retry | dead | dropped | requeued
        pa.field("detail", STR),
        pa.field("result", STR),  # JSON: what was written, so that undo can take it back
        pa.field("at_us", I64),
    ]
)

RECORDS: Final = pa.schema(
    [
        pa.field("weight", pa.int8()),  # changelog: which trace is a source of which dataset record
        pa.field("dataset", STR),
        pa.field("dataset_id", STR),
        pa.field("record", STR),  # sha256 of the canonical JSON of the inputs
        pa.field("record_id", STR),  # the server's id, once known
        pa.field("trace_id", STR),
        pa.field("end_us", I64),
        pa.field("rules", pa.list_(HIT)),
        pa.field("reason", STR),
        pa.field("at_us", I64),
    ]
)


def _outbox(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: messages that wait, the newest of each target unless it took everything back, the last number."""
    messages = expiry.store.table("outbox").read(["key", "seq", "sink", "target"])
    acks = expiry.store.table("deliveries").read(["key", "outcome", "at_us"]).with_row_index("_row")
    settled_for_good = pl.col("outcome").is_in(SETTLED)
    last = acks.sort(settled_for_good, "at_us", "_row").unique("key", keep="last", maintain_order=True)
    settled = last.filter(pl.col("outcome").is_in(FINAL))
    newest = messages.sort("seq").unique(["sink", "target"], keep="last", maintain_order=True)
    delivered = settled.filter(pl.col("outcome") == "delivered")["key"].implode()
    withdrawn = pl.struct("sink", "payload").map_elements(
        lambda row: expiry.is_withdrawal(row["sink"], json.loads(row["payload"])), return_dtype=pl.Boolean
    )
    return rows.filter(
        (pl.col("created_us") >= expiry.cutoff_us)
        | ~pl.col("key").is_in(settled["key"].implode())
        | (pl.col("key").is_in(newest["key"].implode()) & ~(pl.col("key").is_in(delivered) & withdrawn))
        | (pl.col("seq") == messages["seq"].max())
    )


def _deliveries(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: the outcomes of messages that are still in the outbox."""
    messages = expiry.store.table("outbox").read(["key"])["key"].implode()
    return rows.filter((pl.col("at_us") >= expiry.cutoff_us) | pl.col("key").is_in(messages))


TABLES: Final[dict[str, TableSpec]] = {
    "outbox": TableSpec(OUTBOX, "outbox", "created_us", 30, _outbox),
    "deliveries": TableSpec(DELIVERIES, "delivery", "at_us", 30, _deliveries),
    "records": TableSpec(RECORDS, "delivery"),
}

"""Verdicts of window rules, the traces behind them, and what was notified of them."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import I64, STR, STRINGS

VERDICTS: Final = pa.schema(
    [
        # changelog like facts: a recomputed history withdraws transitions with -1
        pa.field("weight", pa.int8()),
        pa.field("rule", STR),
        pa.field("rule_hash", STR),
        pa.field("by", STRINGS),  # the keys of the rule's `by`
        pa.field("group", STRINGS),
        pa.field("instant_us", I64),
        pa.field("state", STR),  # pending | firing | inactive | superseded | regrouped
        pa.field("since_us", I64),  # instant at which the present episode began to fire (firing), or to pend
        pa.field("value", pa.float64()),
        pa.field("traces", I64),
        pa.field("errors", I64),
        pa.field("written_us", I64),
    ]
)

EVIDENCE: Final = pa.schema(
    [
        pa.field("episode", STR),
        pa.field("rule", STR),
        pa.field("rule_hash", STR),
        pa.field("group", STRINGS),
        pa.field("instant_us", I64),
        pa.field("trace_id", STR),
        pa.field("start_us", I64),
        pa.field("rank", I64),
    ]
)

NOTIFICATIONS: Final = pa.schema(
    [
        pa.field("key", STR),
        pa.field("episode", STR),
        pa.field("status", STR),  # firing | resolved
        pa.field("reason", STR),  # crossed | dry_run | cleared | no_data | superseded | regrouped | revised
        pa.field("rule", STR),
        pa.field("rule_hash", STR),
        pa.field("severity", STR),
        pa.field("by", STRINGS),
        pa.field("group", STRINGS),
        pa.field("starts_us", I64),
        pa.field("instant_us", I64),
        pa.field("value", pa.float64()),
        pa.field("condition", STR),
        pa.field("summary", STR),
        pa.field("traces", I64),
        pa.field("errors", I64),
        pa.field("evidence", STRINGS),
        pa.field("paged", pa.bool_()),  # false: a dry run, or too old (page_if_newer_than)
        pa.field("notified_us", I64),
    ]
)

_VERDICT = ["rule", "rule_hash", "by", "group", "instant_us", "state", "since_us"]


def _verdicts(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: the last verdict of a group that is pending or firing, since its next verdict goes on from it."""
    every = expiry.store.table("verdicts").read([*_VERDICT, "weight"])
    net = every.group_by(_VERDICT).agg(pl.col("weight").cast(pl.Int64).sum()).filter(pl.col("weight") > 0)
    newest = net.sort("instant_us").unique(["rule_hash", "by", "group"], keep="last")
    last = newest.filter(pl.col("state").is_in(["pending", "firing"]))
    old = rows.filter(pl.col("instant_us") < expiry.cutoff_us).join(
        last.select(_VERDICT), on=_VERDICT, how="semi", nulls_equal=True
    )
    return pl.concat([old, rows.filter(pl.col("instant_us") >= expiry.cutoff_us)])


def _notifications(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """An episode goes as a whole, and only once its end has been notified."""
    notified = expiry.store.table("notifications").read(["episode", "status", "notified_us"])
    last = notified.sort("notified_us", maintain_order=True).unique(
        "episode", keep="last", maintain_order=True
    )
    over = last.filter((pl.col("status") == "resolved") & (pl.col("notified_us") < expiry.cutoff_us))
    return rows.filter(~pl.col("episode").is_in(over["episode"].implode()))


TABLES: Final[dict[str, TableSpec]] = {
    "verdicts": TableSpec(VERDICTS, "verdicts", "instant_us", 400, _verdicts),
    "evidence": TableSpec(EVIDENCE, "verdicts", "instant_us", 90),
    "notifications": TableSpec(NOTIFICATIONS, "notifications", "notified_us", 400, _notifications),
}

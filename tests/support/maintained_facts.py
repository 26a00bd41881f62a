"""Facts and windows for tests of maintenance, written without Spark; ``NOW`` is five hours after midnight."""

from __future__ import annotations

import random
from typing import Any

import polars as pl

from rules.alerting.sums import SUM_NAMES
from store import Store
from store.maintenance.retention import DAY_US
from store.windows import partials

MINUTE, HOUR = 60_000_000, 3_600_000_000
NOW = 1_790_000_000_000_000 // DAY_US * DAY_US + 5 * HOUR


def fact(trace: str, end_us: int, **changes: Any) -> dict[str, Any]:
    row = {
        "stream_id": "s",
        "batch_id": 0,
        "weight": 1,
        "trace_id": trace,
        "group_by": ["experiment"],
        "group": ["a"],
        "start_us": end_us - 1000,
        "end_us": end_us,
        "error": False,
        "duration_us": 1000,
        "content_hash": 1,
        "change_us": end_us,
        "arrived_us": end_us,
        "hits": [],
        "tokens_total": 7,
        "state": "OK",
    }
    return {**row, **changes}


def write_windows(store: Store, facts: list[dict[str, Any]], batch: int = 0) -> None:
    rows = pl.DataFrame(store.table("facts").spec.schema.empty_table()).clear()
    table = store.table("facts")
    frame = pl.concat([rows, pl.DataFrame(table._arrow(facts))])
    made = partials(frame).with_columns(
        pl.lit("s").alias("stream_id"), pl.lit(batch, dtype=pl.Int64).alias("batch_id")
    )
    store.table("windows").append(made, app_id="windows:s", version=batch)


def totals(windows: pl.DataFrame, span_us: int = HOUR) -> list[Any]:
    """Every sum and every histogram bucket by hour: what no compaction may change."""
    hours = windows.with_columns(pl.col("start_us") // span_us)
    sums = (
        hours.group_by("start_us", "group")
        .agg(pl.col(name).sum() for name in SUM_NAMES)
        .sort("start_us", "group")
    )
    exploded = hours.select("start_us", "group", i="bucket_index", n="bucket_count").filter(
        pl.col("i").list.len() > 0
    )
    buckets = exploded.explode("i", "n").group_by("start_us", "group", "i").agg(pl.col("n").sum())
    return [sums.rows(), buckets.filter(pl.col("n") != 0).sort("start_us", "group", "i").rows()]


def scattered(number: int, seed: int = 1) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [
        fact(
            f"t{seed}-{n}",
            NOW - dice.randrange(30 * DAY_US),
            duration_us=dice.randrange(10**7),
            error=dice.random() < 0.3,
            group=[dice.choice("ab")],
            weight=dice.choice([1, 1, -1]),
            tokens_total=dice.choice([None, 3, 9]),
        )
        for n in range(number)
    ]

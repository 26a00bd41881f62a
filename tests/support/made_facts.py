"""Facts and whole batches made by hand, for tests of what comes after them; times begin at ``T0``, a whole
minute.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from rules.rule_set import RuleSet
from rules.units import MINUTE_US as MINUTE
from store import Store
from store.rule_sets import RuleSets
from store.windows import partials

T0 = 1_800_000_000 * 1_000_000 // MINUTE * MINUTE


def fact(
    trace_id: str, minute: int, *, error: bool = False, weight: int = 1, **changes: Any
) -> dict[str, Any]:
    end = T0 + minute * MINUTE + 1
    row = {
        "weight": weight,
        "trace_id": trace_id,
        "experiment_id": "1",
        "experiment": "support",
        "group_by": ["experiment"],
        "group": ["support"],
        "start_us": end - 1000,
        "end_us": end,
        "state": "ERROR" if error else "OK",
        "error": error,
        "duration_us": 1000,
        "content_hash": 1,
        "change_us": end,
        "arrived_us": end,
        "late": False,
        "hits": [],
    }
    return {**row, **changes}


def put(store: Store, rule_set: RuleSet, loaded_us: int) -> None:
    """Bring a rule set into force."""
    RuleSets(store).put(rule_set, ["experiment"], loaded_us)


def batch(
    store: Store,
    number: int,
    facts: list[dict[str, Any]],
    rule_set: RuleSet | None = None,
    *,
    stream: str = "s",
    **counters: int,
) -> None:
    """One whole batch of a stream: its facts, their windows, its end."""
    store.table("facts").append([{**row, "stream_id": stream, "batch_id": number} for row in facts])
    frame = store.table("facts").read(where=pl.col("batch_id") == number)
    if frame.height:
        own = rule_set.partial_keys if rule_set is not None else ()
        windows = partials(frame, own).with_columns(
            pl.lit(stream).alias("stream_id"), pl.lit(number, dtype=pl.Int64).alias("batch_id")
        )
        store.table("windows").append(windows)
    end = {
        "stream_id": stream,
        "batch_id": number,
        "phase": "end",
        "now_us": T0 + number,
        "rule_set_hash": rule_set.hash if rule_set else "p",
    }
    arrived = max((row["arrived_us"] for row in facts), default=0)
    store.table("batches").append([{**end, "arrived_through_us": arrived, **counters}])

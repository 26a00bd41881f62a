"""How fresh and how complete a report is: what has been counted, what came late or twice, what waits."""

from __future__ import annotations

from typing import Any

import polars as pl

from store import Store
from store.final_through import stored_final_through_us
from tracesieve.json_output import iso

_FRESH = ("late", "backlog", "duplicates", "amended", "expired", "left_out", "quarantined", "deleted")


def freshness(store: Store) -> dict[str, Any]:
    """Counts over everything in the store, and through when everything has been counted."""
    batches = store.table("batches").read(list(_FRESH), pl.col("phase") == "end")
    fresh: dict[str, Any] = {"final_through": iso(stored_final_through_us(store))}
    fresh |= {name: int(batches[name].sum() or 0) for name in _FRESH}
    fresh["in_progress"] = _in_progress(store)
    fresh["dead_letters"] = _dead_letters(store)
    return fresh


def _in_progress(store: Store) -> int:
    """What an MLflow server counted last, and what a Delta table holds unfinished."""
    landing = (
        store.table("landing")
        .read(["experiment_id", "in_progress", "at_us"])
        .sort("at_us", maintain_order=True)
    )
    server = int(landing.unique("experiment_id", keep="last", maintain_order=True)["in_progress"].sum() or 0)
    waiting = store.table("in_progress").read(["trace_id", "start_us"]).unique("trace_id")
    if waiting.is_empty():
        return server
    since = (pl.col("start_us") >= waiting["start_us"].min()) & pl.col("trace_id").is_in(
        waiting["trace_id"].implode()
    )
    ended = store.table("facts").read(["trace_id"], since)
    return server + waiting.join(ended, on="trace_id", how="anti").height


def _dead_letters(store: Store) -> int:
    """Deliveries that were refused for good and not tried again since."""
    table = store.table("deliveries")
    dead = table.read(["key"], pl.col("outcome") == "dead")["key"].unique()
    if dead.is_empty():
        return 0
    outcomes = table.read(["key", "outcome", "at_us"], pl.col("key").is_in(dead.implode()))
    last = outcomes.sort("at_us", maintain_order=True).unique("key", keep="last", maintain_order=True)
    return last.filter(pl.col("outcome") == "dead").height

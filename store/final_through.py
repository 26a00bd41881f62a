"""How far the source has been counted, from the tables alone: for commands, which know no running landing."""

from __future__ import annotations

import polars as pl

from rules.units import HOUR_US
from store.store import Store

_LEFT_US = HOUR_US


def stored_final_through_us(store: Store) -> int | None:
    """``final_through``, µs (SEMANTICS 13), None while nothing is known.

    For an MLflow server the end of the last slice of every experiment that its counts agreed with, once its
    rows have all been counted, at most a minute behind where there is no traffic; for a Delta table the
    commit time of the last version that was counted.
    """
    arrived = (
        store.table("batches")
        .read(["arrived_through_us"], pl.col("phase") == "end")["arrived_through_us"]
        .max()
    )
    counted = arrived if isinstance(arrived, int) else None
    landing = store.table("landing").read(["experiment_id", "kind", "to_us", "landed_through_us", "at_us"])
    if landing.is_empty():
        return counted
    # An experiment that left the config keeps its rows, and holds nothing back.
    recent = landing.filter(pl.col("at_us").max().over("experiment_id") >= pl.col("at_us").max() - _LEFT_US)
    agreed = recent.filter((pl.col("kind") == "reconcile") & (pl.col("landed_through_us") <= (counted or 0)))
    whole = agreed.group_by("experiment_id").agg(pl.col("to_us").max())
    final = whole["to_us"].min()
    return final if isinstance(final, int) and whole.height == recent["experiment_id"].n_unique() else None

"""Labels that people give to traces: an ``eval_candidate`` that is not the one that we delivered (SEMANTICS
22).

A label is not part of a trace's content, so a change of it alone makes a row a repeat, which amends nothing.
Hence a table beside ``facts``: a row whenever a trace's label differs from the one before, null when the
person took it back; of several rows the one that arrived last stands.
"""

from __future__ import annotations

import polars as pl

LABELS = ("trace_id", "start_us", "label", "arrived_us")


def changes(labels: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``labels`` (:data:`LABELS`, one for each incoming row) that change something, given those
    that other batches wrote.
    """
    latest = labels.sort("arrived_us", "label").unique("trace_id", keep="last", maintain_order=True)
    before = known.sort("arrived_us", maintain_order=True).unique("trace_id", keep="last")
    before = before.select("trace_id", _before="label", _before_us="arrived_us")
    joined = latest.join(before, on="trace_id", how="left")
    newer = pl.col("_before_us").is_null() | (pl.col("arrived_us") > pl.col("_before_us"))
    return joined.filter(newer & ~pl.col("label").eq_missing(pl.col("_before"))).select(LABELS)


def known_where(labels: pl.DataFrame, own: pl.Expr) -> pl.Expr:
    """The filter on ``person_labels`` that finds what other batches wrote of these traces."""
    return ~own & pl.col("trace_id").is_in(labels["trace_id"].unique().implode())

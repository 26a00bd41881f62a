"""What people say of traces: an ``eval_candidate`` that is not the one that we delivered (SEMANTICS 22).

It is not part of a trace's content, so a change of it alone makes a row a repeat, which amends nothing.
Hence a table beside ``facts``: a row whenever what a person says of a trace differs from what they said
before, null when they took it back; of several the one that arrived last stands.
"""

from __future__ import annotations

import polars as pl

SAID = ("trace_id", "start_us", "label", "arrived_us")


def changes(said: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``said`` (:data:`SAID`, a row for each that came) that say something new, given those of
    other batches.
    """
    latest = said.sort("arrived_us", "label").unique("trace_id", keep="last", maintain_order=True)
    before = known.sort("arrived_us", maintain_order=True).unique("trace_id", keep="last")
    joined = latest.join(
        before.select("trace_id", _was="label", _when="arrived_us"), on="trace_id", how="left"
    )
    newer = pl.col("_when").is_null() | (pl.col("arrived_us") > pl.col("_when"))
    return joined.filter(newer & ~pl.col("label").eq_missing(pl.col("_was"))).select(SAID)


def known_where(said: pl.DataFrame, not_in: tuple[str, int]) -> pl.Expr:
    """The filter on the table ``person_labels`` that finds what was said of these traces before."""
    own = (pl.col("stream_id") == not_in[0]) & (pl.col("batch_id") == not_in[1])
    return ~own & pl.col("trace_id").is_in(said["trace_id"].unique().implode())

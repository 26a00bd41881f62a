"""Where the stream is, from the table of batches: which stream wrote last, how far it has read, and what was
backlog to it.
"""

from __future__ import annotations

import polars as pl

from store.apply_log import APPLY
from store.store import Store


def last_stream(store: Store) -> str | None:
    """The id of the stream that wrote the latest batch of the source; None before the first."""
    of_source = pl.col("stream_id") != APPLY
    rows = store.table("batches").read(["stream_id", "now_us"], of_source).sort("now_us", maintain_order=True)
    return str(rows["stream_id"][-1]) if rows.height else None


def is_backlog(run_began_us: int | pl.Expr | None) -> pl.Expr:
    """Whether a trace (its ``end_us``) had ended when the run that counts it began (SEMANTICS 13).

    ``run_began_us`` is what ``batches`` says of the batch that counts it; None, of a batch of an earlier
    version: nothing is.
    """
    if isinstance(run_began_us, int):
        run_began_us = pl.lit(run_began_us, dtype=pl.Int64)
    return pl.lit(False) if run_began_us is None else (pl.col("end_us") < run_began_us).fill_null(False)


def arrived_through_us(store: Store, stream_id: str | None) -> int | None:
    """The greatest arrival time of a row in that stream's finished batches; batches take rows in the order of
    their arrival.
    """
    mine = pl.col("stream_id").eq_missing(pl.lit(stream_id, dtype=pl.String)) & (pl.col("phase") == "end")
    through = store.table("batches").read(["arrived_through_us"], mine)["arrived_through_us"].max()
    return through if isinstance(through, int) else None


def is_half_written(store: Store) -> bool:
    """Whether the last batch of the source, or of ``apply``, has its facts in the table, and is not ended."""
    for stream in (last_stream(store), APPLY):
        facts = store.table("facts").app_version(f"facts:{stream}")
        ended = store.table("batches").app_version(f"batches:{stream}")
        if facts is not None and (ended is None or facts > ended):
            return True
    return False

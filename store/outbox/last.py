"""What became of the newest message of each target, read from the two tables: for reports, which change
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from store.schemas import SETTLED
from store.store import Store


def last_messages(store: Store, sinks: Sequence[str]) -> pl.DataFrame:
    """One row for each sink and target that a message was ever made for.

    Columns: ``sink``, ``target``, ``newest`` (the payload of its newest message, JSON), ``outcome`` (what
    became of that one last; null: not tried yet), ``delivered`` (the payload that was delivered last; null:
    none was).
    """
    of_sinks = pl.col("sink").is_in(list(sinks))
    acks = store.table("deliveries").read(["key", "outcome", "at_us"], of_sinks).with_row_index("_row")
    last = acks.sort(pl.col("outcome").is_in(SETTLED), "at_us", "_row").unique(
        "key", keep="last", maintain_order=True
    )
    messages = store.table("outbox").read(["key", "seq", "sink", "target", "payload"], of_sinks)
    known = messages.join(last.select("key", "outcome"), on="key", how="left").sort("seq")
    newest, delivered = (
        rows.unique(["sink", "target"], keep="last", maintain_order=True)
        for rows in (known, known.filter(pl.col("outcome") == "delivered"))
    )
    return newest.select("sink", "target", "outcome", newest="payload").join(
        delivered.select("sink", "target", delivered="payload"), on=["sink", "target"], how="left"
    )

"""Batches as they become whole: what each wrote to one table, given out once its end row is in (SEMANTICS
19).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from store import Store
from store.tail import Tail

END = ("stream_id", "batch_id", "now_us", "rule_set_hash", "arrived_through_us")


class WholeBatches:
    """The batches of one stream from now on, with their rows of ``table``; lives in memory, as a tail does.

    ``through`` is the last batch that is whole, -1 before the first; ``arrived_us`` the greatest arrival time
    of a row of a whole batch, None before the first.
    """

    def __init__(self, store: Store, table: str, stream_id: str) -> None:
        self._table, self._stream = store.table(table), stream_id
        self._tails = (
            Tail(store.table("batches")),
            Tail(self._table),
        )  # before the reads, so that nothing falls between
        self.ends = (
            store.table("batches")
            .read(list(END), pl.col("phase") == "end")
            .sort("now_us", maintain_order=True)
        )
        mine = self.ends.filter(pl.col("stream_id") == stream_id)["batch_id"].max()
        self.through = mine if isinstance(mine, int) else -1
        arrived = self.ends["arrived_through_us"].max()
        self.arrived_us = arrived if isinstance(arrived, int) else None
        self._waiting: dict[int, pl.DataFrame] = {}
        self._read_first: set[int] = set()
        self._keep(self._table.read(where=self._mine() & (pl.col("batch_id") > self.through)))
        self._read_first = set(self._waiting)

    def known(self, where: pl.Expr) -> pl.DataFrame:
        """The rows of whole batches, and of streams that came before, as they were when this was made."""
        return self._table.read(where=where & (~self._mine() | (pl.col("batch_id") <= self.through)))

    def poll(self) -> tuple[list[dict[str, Any]], pl.DataFrame | None]:
        """The end rows of the batches that have become whole since the last call, and the rows of those
        batches.

        Raises:
            TailLost: make a new one.
        """
        ends, rows = (tail.rows() for tail in self._tails)
        if rows is not None:
            self._keep(rows.filter(self._mine() & (pl.col("batch_id") > self.through)))
        if ends is None:
            return [], None
        ends = ends.filter(
            self._mine() & (pl.col("phase") == "end") & (pl.col("batch_id") > self.through)
        ).sort("batch_id")
        if ends.is_empty():
            return [], None
        self.through = int(ends["batch_id"][-1])
        arrived = ends["arrived_through_us"].max()
        if isinstance(arrived, int):
            self.arrived_us = max(arrived, self.arrived_us or 0)
        frames = [self._waiting.pop(batch) for batch in sorted(self._waiting) if batch <= self.through]
        return ends.to_dicts(), pl.concat(frames) if frames else None

    def _mine(self) -> pl.Expr:
        return pl.col("stream_id") == self._stream

    def _keep(self, rows: pl.DataFrame) -> None:
        """Keep rows until their batch is whole; those that were read at the start may come from the tail once
        more.
        """
        for (batch,), part in rows.partition_by("batch_id", as_dict=True).items():
            if batch not in self._read_first:
                before = self._waiting.get(int(batch))
                self._waiting[int(batch)] = part if before is None else pl.concat([before, part])

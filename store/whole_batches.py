"""Batches as they become whole: what each wrote to one table, given out once its end row is in (SEMANTICS
19).

Besides the batches of its stream a follower is given those that apply rules to the past (stream ``apply``),
numbered on their own.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from store import Store
from store.apply_log import APPLY
from store.tail import Tail

_Batch = tuple[str, int]  # stream, number
END = ("stream_id", "batch_id", "now_us", "rule_set_hash", "arrived_through_us")


class WholeBatches:
    """The batches of one stream and of ``apply`` from now on, with their rows of ``table``; lives in memory,
    as a tail does.

    ``through`` is the last whole batch of the stream, -1 before the first; ``arrived_us`` the greatest
    arrival time of a row of a whole batch, None before the first.
    """

    def __init__(self, store: Store, table: str, stream_id: str) -> None:
        self._table, self._stream = store.table(table), stream_id
        self._tails = (
            Tail(store.table("batches")),
            Tail(self._table),
        )  # before the reads, so that nothing falls between
        ends = store.table("batches").read(list(END), pl.col("phase") == "end")
        ends = ends.sort("now_us", maintain_order=True)
        self._through = dict.fromkeys((stream_id, APPLY), -1)
        self._note(ends.filter(self._mine()))
        self.ends = ends.filter(pl.col("stream_id") != APPLY)
        arrived = ends["arrived_through_us"].max()
        self.arrived_us = arrived if isinstance(arrived, int) else None
        self._waiting: dict[_Batch, pl.DataFrame] = {}
        self._read_first: set[_Batch] = set()
        spec = self._table.spec
        self._columns = [name for name in spec.schema.names if name not in spec.detail]
        self._keep(self._table.read(self._columns, self._mine() & self._is_new()))
        self._read_first = set(self._waiting)

    @property
    def through(self) -> int:
        """The last whole batch of the stream, -1 before the first."""
        return self._through[self._stream]

    @property
    def applied_through(self) -> int:
        """The last whole batch of ``apply``, -1 before the first."""
        return self._through[APPLY]

    def known(self, where: pl.Expr) -> pl.DataFrame:
        """The rows of whole batches, and of streams that came before, as they were when this was made."""
        return self._table.read(self._columns, where & (~self._mine() | ~self._is_new()))

    def poll(self) -> tuple[list[dict[str, Any]], pl.DataFrame | None]:
        """The end rows of the batches that have become whole since the last call, and the rows of those
        batches.

        Raises:
            TailLost: make a new one.
        """
        ends, rows = (tail.rows() for tail in self._tails)
        if rows is not None:
            self._keep(rows.filter(self._mine() & self._is_new()))
        if ends is None:
            return [], None
        ends = ends.filter(self._mine() & (pl.col("phase") == "end") & self._is_new()).sort("batch_id")
        if ends.is_empty():
            return [], None
        self._note(ends)
        arrived = ends["arrived_through_us"].max()
        if isinstance(arrived, int):
            self.arrived_us = max(arrived, self.arrived_us or 0)
        whole = sorted(one for one in self._waiting if one[1] <= self._through[one[0]])
        frames = [self._waiting.pop(one) for one in whole]
        return ends.to_dicts(), pl.concat(frames) if frames else None

    def _mine(self) -> pl.Expr:
        return pl.col("stream_id").is_in(list(self._through))

    def _is_new(self) -> pl.Expr:
        """Of a row of this stream or of ``apply``: whether its batch came after the last whole one."""
        applied = pl.col("stream_id") == APPLY
        return pl.col("batch_id") > pl.when(applied).then(self._through[APPLY]).otherwise(self.through)

    def _note(self, ends: pl.DataFrame) -> None:
        for stream, last in ends.group_by("stream_id").agg(pl.col("batch_id").max()).iter_rows():
            self._through[stream] = int(last)

    def _keep(self, rows: pl.DataFrame) -> None:
        """Keep rows until their batch is whole; those that were read at the start may come from the tail once
        more.
        """
        for (stream, batch), part in rows.partition_by("stream_id", "batch_id", as_dict=True).items():
            one = (str(stream), int(batch))
            if one not in self._read_first:
                before = self._waiting.get(one)
                self._waiting[one] = part if before is None else pl.concat([before, part])

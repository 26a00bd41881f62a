"""What searches put into datasets and took out again, and which of it has become messages.

A command appends all traces of a search in one commit. The follower of memberships makes the messages of a
search in one commit of the outbox, which bears the search's id: so each is made once, whatever is killed or
repeated, and in whichever order searches arrive.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

import polars as pl

from store.store import Store

TABLE: Final = "dataset_picks"
_NOTHING: Final[Mapping[str, tuple[str, ...]]] = {}


def picks_cursor(request_id: str) -> str:
    """The application under which the messages of a search are committed to the outbox."""
    return f"picks:{request_id}"


class Picks:
    """Reads and writes the picks of one store.

    What they say is as it was at the last :meth:`refresh`, which costs little while nothing changes.
    """

    def __init__(self, store: Store) -> None:
        self._table, self._outbox = store.table(TABLE), store.table("outbox")
        self._read_at = -1
        self._rows = self._table.empty()
        self._standing: dict[str, dict[str, tuple[str, ...]]] = {}
        self._done: set[str] = set()
        self.refresh()

    def put(self, traces: pl.DataFrame, dataset: str, condition: str | None, now_us: int) -> str:
        """Append a search: its traces (``trace_id``, ``start_us``) enter ``dataset`` because of
        ``condition``; with None they leave it. Gives the search's id; at least once.

        Raises:
            StoreUnwritable: the place cannot be written.
        """
        last = self._table.read(["asked_us"])["asked_us"].max()
        request_id = uuid.uuid4().hex[:12]
        rows = traces.select(
            pl.lit(request_id).alias("request_id"),
            pl.lit(max(now_us, last + 1 if isinstance(last, int) else 0), dtype=pl.Int64).alias("asked_us"),
            "trace_id",
            "start_us",
            pl.lit(dataset).alias("dataset"),
            pl.lit(condition, dtype=pl.String).alias("condition"),
        )
        self._table.append(rows)
        self.refresh()
        return request_id

    def open(self) -> list[str]:
        """The ids of the searches that are no messages yet, oldest first."""
        self.refresh()
        ids = self._rows.select("request_id", "asked_us").unique().sort("asked_us", "request_id")
        return [one for one in ids["request_id"] if not self.is_done(one)]

    def is_done(self, request_id: str) -> bool:
        """Whether the messages of a search have been made."""
        if request_id not in self._done and self._outbox.app_version(picks_cursor(request_id)) is not None:
            self._done.add(request_id)
        return request_id in self._done

    def traces(self, request_id: str) -> pl.DataFrame:
        """The traces of a search: ``trace_id``, ``start_us``."""
        return self._rows.filter(pl.col("request_id") == request_id).select("trace_id", "start_us")

    def of(self, trace_id: str) -> Mapping[str, tuple[str, ...]]:
        """The datasets that searches put a trace into, each with the conditions, oldest first."""
        return self._standing.get(trace_id, _NOTHING)

    def standing(self) -> list[str]:
        """Every trace that a search put into a dataset and none took out again."""
        return list(self._standing)

    def refresh(self) -> None:
        """Take in what was appended since."""
        version = self._table.version()
        if version == self._read_at:
            return
        self._rows = self._table.read().sort("asked_us", "request_id", maintain_order=True)
        key = ["trace_id", "dataset"]
        left_us = pl.col("asked_us").filter(pl.col("condition").is_null()).max().over(key).fill_null(-1)
        entered = self._rows.filter(pl.col("condition").is_not_null() & (pl.col("asked_us") > left_us))
        conditions = pl.col("condition").unique(maintain_order=True)
        self._standing = {}
        for trace_id, dataset, texts in entered.group_by(key).agg(conditions).iter_rows():
            self._standing.setdefault(trace_id, {})[dataset] = tuple(texts)
        self._read_at = version

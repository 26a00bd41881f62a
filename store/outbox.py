"""The outbox: wishes that followers append and sinks acknowledge, so that an outage delays and loses nothing.

Only the newest wish of a target (a trace, an alert) is worth delivering; older ones are acknowledged as superseded.
The key of a wish is deterministic: a wish made twice is in once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from store.store import Store

FINAL = ("delivered", "superseded", "dead", "dropped")


@dataclass(frozen=True)
class Wish:
    """Something to be delivered; ``payload`` is plain JSON data."""

    sink: str
    target: str
    payload: dict[str, Any]

    @property
    def key(self) -> str:
        """Twenty hex digits over sink, target and payload."""
        text = json.dumps([self.sink, self.target, self.payload], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Pending(Wish):
    """A wish that waits; ``seq`` is its place in the outbox."""

    seq: int = 0
    created_us: int = 0

    @property
    def seq_key(self) -> str:
        """The key under which it stands in the outbox: a later return to an earlier wish is a wish of its own."""
        return f"{self.key}-{self.seq}"


@dataclass(frozen=True)
class Ack:
    """What became of a wish: delivered, superseded, retry, dead or dropped."""

    wish: Pending
    outcome: str
    detail: str = ""
    result: str = ""


class Outbox:
    """The wishes and acknowledgements of one store."""

    def __init__(self, store: Store) -> None:
        self._wishes = store.table("outbox")
        self._acks = store.table("deliveries")

    def wish(self, wishes: Sequence[Wish], now_us: int, *, app_id: str | None = None, version: int | None = None) -> int:
        """Append the wishes that differ from the newest one of their target; how many were new."""
        last = self._last_by_target({wish.target for wish in wishes})
        new = [wish for wish in wishes if last.get((wish.sink, wish.target), ("", 0))[0] != _identity(wish)]
        start = self._next_seq()
        rows = [
            {"key": f"{wish.key}-{start + i}", "seq": start + i, "sink": wish.sink, "target": wish.target,
             "payload": json.dumps(wish.payload, sort_keys=True), "created_us": now_us}
            for i, wish in enumerate(new)
        ]  # fmt: skip
        return len(new) if self._wishes.append(rows, app_id=app_id, version=version) else 0

    def pending(self, sink: str, limit: int = 1000) -> list[Pending]:
        """The newest waiting wish of each target, newest first; older ones are acknowledged as superseded on the way."""
        waiting = self._waiting().filter(pl.col("sink") == sink)
        newest = waiting.sort("seq").unique("target", keep="last", maintain_order=True)
        older = waiting.join(newest.select("seq"), on="seq", how="anti")
        if older.height:
            self.ack([Ack(_pending(row), "superseded") for row in older.iter_rows(named=True)], 0)
        return [_pending(row) for row in newest.sort("seq", descending=True).head(limit).iter_rows(named=True)]

    def ack(self, acks: Sequence[Ack], now_us: int) -> None:
        """Say what became of wishes, in one commit."""
        rows = [
            {"key": ack.wish.seq_key, "sink": ack.wish.sink, "target": ack.wish.target, "outcome": ack.outcome,
             "detail": ack.detail[:500], "result": ack.result, "at_us": now_us}
            for ack in acks
        ]  # fmt: skip
        self._acks.append(rows)

    def rows(self) -> list[dict[str, Any]]:
        """Every wish that is not delivered or superseded, with its last outcome, for a person to see."""
        last = self._acks.read(["key", "outcome", "detail", "at_us"]).sort("at_us").unique("key", keep="last")
        joined = self._wishes.read().join(last, on="key", how="left").sort("seq")
        return joined.filter(~pl.col("outcome").is_in(["delivered", "superseded"]).fill_null(False)).to_dicts()

    def requeue(self, keys: Sequence[str], outcome: str, now_us: int) -> int:
        """Set wishes to ``requeued`` (they are tried again) or ``dropped``; how many there were."""
        found = [row for row in self.rows() if row["key"] in keys]
        self._acks.append([{"key": r["key"], "sink": r["sink"], "target": r["target"], "outcome": outcome, "at_us": now_us}
                           for r in found])  # fmt: skip
        return len(found)

    def count(self, sink: str | None = None) -> int:
        """How many wishes wait."""
        waiting = self._waiting()
        return (waiting.filter(pl.col("sink") == sink) if sink else waiting).height

    def _waiting(self) -> pl.DataFrame:
        acks = self._acks.read(["key", "outcome", "at_us"]).with_row_index("_row")
        settled = pl.col("outcome").is_in(["delivered", "superseded"])  # nothing said later undoes these
        last = acks.sort(settled, "at_us", "_row").unique("key", keep="last", maintain_order=True)
        last = last.filter(pl.col("outcome").is_in(FINAL))
        return self._wishes.read().join(last, on="key", how="anti")

    def _last_by_target(self, targets: set[str]) -> dict[tuple[str, str], tuple[str, int]]:
        rows = self._wishes.read(["sink", "target", "payload", "seq"], pl.col("target").is_in(list(targets)))
        last = rows.sort("seq").unique(["sink", "target"], keep="last")
        return {(s, t): (json.dumps([s, t, json.loads(p)], sort_keys=True), q) for s, t, p, q in last.iter_rows()}

    def _next_seq(self) -> int:
        highest = self._wishes.read(["seq"])["seq"].max()
        return int(highest) + 1 if isinstance(highest, int) else 0


def _identity(wish: Wish) -> str:
    return json.dumps([wish.sink, wish.target, wish.payload], sort_keys=True)


def _pending(row: dict[str, Any]) -> Pending:
    return Pending(row["sink"], row["target"], json.loads(row["payload"]), row["seq"], row["created_us"])

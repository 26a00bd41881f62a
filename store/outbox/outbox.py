"""The outbox: messages that followers append and sinks acknowledge, so that an outage delays and loses
nothing.

Only the newest message of a target (a trace, an alert) is worth delivering; older ones are acknowledged as
superseded.  The key of a message is deterministic: a message made twice is in the outbox once.

What waits is held in memory: read from the two tables at first use, then followed commit by commit.  So the
cost of a poll does not grow with the outbox, and what another process appends (``outbox retry``) is seen.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from store.errors import TailLost
from store.schemas import FINAL, SETTLED
from store.store import Store
from store.tail import Tail

Target = tuple[str, str]  # sink, target
EVIDENCE_CURSOR = "messages:evidence"  # its version: the commit of `evidence` that messages were made from


def messages_cursor(stream_id: str) -> str:
    """The application whose version is the last batch of that stream that messages were made from."""
    return f"messages:{stream_id}"


@dataclass(frozen=True)
class OutboxMessage:
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
class PendingMessage(OutboxMessage):
    """A message that waits; ``seq`` is its place in the outbox."""

    seq: int = 0
    created_us: int = 0

    @property
    def seq_key(self) -> str:
        """The key under which it stands in the outbox: an earlier message that is made again later is a new
        one.
        """
        return f"{self.key}-{self.seq}"


@dataclass(frozen=True)
class Ack:
    """The outcome of a message: delivered, superseded, retry, dead or dropped."""

    message: PendingMessage
    outcome: str
    detail: str = ""
    result: str = ""


class _State:
    """Which messages wait, by sink and target, and the newest message of every target: a fold of the two
    tables.
    """

    def __init__(self, store: Store) -> None:
        self._messages, self._acks = store.table("outbox"), store.table("deliveries")
        self._tails = (
            Tail(self._messages),
            Tail(self._acks),
        )  # before the reads: what comes between is seen twice, not missed
        self.next_seq = 0
        self.newest: dict[Target, str] = {}  # the key of each target's newest message
        self.waiting: dict[str, dict[str, dict[str, Any]]] = {}  # by sink, by target: the row
        self.stale: dict[str, dict[str, Any]] = {}  # by key: overtaken, to be acknowledged as superseded
        acks = self._acks.read(["key", "outcome", "at_us"]).with_row_index("_row")
        last = acks.sort(pl.col("outcome").is_in(SETTLED), "at_us", "_row").unique(
            "key", keep="last", maintain_order=True
        )
        settled = set(last.filter(pl.col("outcome").is_in(FINAL))["key"])
        known = self._messages.read(["key", "seq", "sink", "target"]).sort("seq")
        for key, seq, sink, target in known.iter_rows():
            self.newest[sink, target] = key
            self.next_seq = max(self.next_seq, seq + 1)
        open_ = known.filter(~pl.col("key").is_in(list(settled)))
        if open_.height:
            low, high = open_["seq"].min(), open_["seq"].max()
            rows = self._messages.read(where=pl.col("seq").is_between(low, high)).join(
                open_.select("key"), on="key", how="semi"
            )
            for row in rows.sort("seq").iter_rows(named=True):
                self._wait(row)

    def follow(self) -> None:
        """Take in what was appended since.

        Raises:
            TailLost: see :class:`store.tail.Tail`.
        """
        messages, acks = (tail.rows() for tail in self._tails)
        for row in messages.sort("seq").iter_rows(named=True) if messages is not None else ():
            if row["seq"] >= self.next_seq:
                self.next_seq = row["seq"] + 1
                self.newest[row["sink"], row["target"]] = row["key"]
                self._wait(row)
        for row in acks.iter_rows(named=True) if acks is not None else ():
            self._settle(row)

    def _wait(self, row: dict[str, Any]) -> None:
        sink, target = row["sink"], row["target"]
        if self.newest[sink, target] != row["key"]:
            self.stale[row["key"]] = row
            return
        of_sink = self.waiting.setdefault(sink, {})
        if target in of_sink and of_sink[target]["key"] != row["key"]:
            overtaken = of_sink.pop(target)
            self.stale[overtaken["key"]] = overtaken
        of_sink[target] = row

    def _settle(self, ack: dict[str, Any]) -> None:
        key, of_sink = ack["key"], self.waiting.get(ack["sink"], {})
        if ack["outcome"] in FINAL:
            if (found := of_sink.get(ack["target"])) is not None and found["key"] == key:
                del of_sink[ack["target"]]
            self.stale.pop(key, None)
        elif ack["outcome"] == "requeued" and self._is_open(key):
            seq = int(key.rpartition("-")[2])
            for row in self._messages.read(where=(pl.col("seq") == seq) & (pl.col("key") == key)).iter_rows(
                named=True
            ):
                self._wait(row)

    def _is_open(self, key: str) -> bool:
        outcomes = self._acks.read(["outcome"], pl.col("key") == key)["outcome"]
        return not outcomes.is_in(SETTLED).any()


class Outbox:
    """The messages and acknowledgements of one store; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._messages = store.table("outbox")
        self._acks = store.table("deliveries")
        self._lock = threading.RLock()
        self._state: _State | None = None

    def enqueue(
        self,
        messages: Sequence[OutboxMessage],
        now_us: int,
        *,
        app_id: str | None = None,
        version: int | None = None,
    ) -> int:
        """Append the messages that differ from the newest one of their target; how many were new.

        With ``app_id`` and ``version`` the commit is made even for none, so that a follower's cursor moves
        on.
        """
        with self._lock:
            state = self._present()
            new = [
                one
                for one in messages
                if state.newest.get((one.sink, one.target), "").rpartition("-")[0] != one.key
            ]
            rows = [
                {
                    "key": f"{message.key}-{state.next_seq + i}",
                    "seq": state.next_seq + i,
                    "sink": message.sink,
                    "target": message.target,
                    "payload": json.dumps(message.payload, sort_keys=True),
                    "created_us": now_us,
                }
                for i, message in enumerate(new)
            ]
            metadata = {"at_us": str(now_us)} if app_id is not None else None
            return (
                len(new)
                if self._messages.append(rows, app_id=app_id, version=version, metadata=metadata)
                else 0
            )

    def pending(self, sink: str, limit: int = 1000) -> list[PendingMessage]:
        """The newest waiting message of each target, newest first; older ones are acknowledged as superseded
        on the way.
        """
        with self._lock:
            state = self._present()
            if state.stale:
                self.ack([Ack(_pending(row), "superseded") for row in state.stale.values()], 0)
            rows = state.waiting.get(sink, {}).values()
            return [_pending(row) for row in heapq.nlargest(limit, rows, key=lambda row: row["seq"])]

    def ack(self, acks: Sequence[Ack], now_us: int) -> None:
        """Record the outcomes of messages, in one commit."""
        rows = [
            {
                "key": ack.message.seq_key,
                "sink": ack.message.sink,
                "target": ack.message.target,
                "outcome": ack.outcome,
                "detail": ack.detail[:500],
                "result": ack.result,
                "at_us": now_us,
            }
            for ack in acks
        ]
        self._acks.append(rows)

    def rows(self) -> list[dict[str, Any]]:
        """Every message that is not delivered or superseded, with its last outcome, for a person to see."""
        acks = self._acks.read(["key", "outcome", "detail", "at_us"]).with_row_index("_row")
        last = acks.sort(pl.col("outcome").is_in(SETTLED), "at_us", "_row").unique(
            "key", keep="last", maintain_order=True
        )
        joined = self._messages.read().join(last.drop("_row"), on="key", how="left").sort("seq")
        return joined.filter(~pl.col("outcome").is_in(SETTLED).fill_null(False)).to_dicts()

    def requeue(self, keys: Sequence[str], outcome: str, now_us: int) -> int:
        """Set messages to ``requeued`` (they are tried again) or ``dropped``; how many there were."""
        wanted = set(keys)
        found = [row for row in self.rows() if row["key"] in wanted]
        self._acks.append(
            [
                {
                    "key": r["key"],
                    "sink": r["sink"],
                    "target": r["target"],
                    "outcome": outcome,
                    "at_us": now_us,
                }
                for r in found
            ]
        )
        return len(found)

    def count(self, sink: str | None = None) -> int:
        """How many messages wait."""
        with self._lock:
            waiting = self._present().waiting
            return len(waiting.get(sink, {})) if sink else sum(map(len, waiting.values()))

    def counts(self) -> dict[str, int]:
        """How many messages wait, by sink."""
        with self._lock:
            return {sink: len(rows) for sink, rows in self._present().waiting.items()}

    def _present(self) -> _State:
        try:
            if self._state is not None:
                self._state.follow()
                return self._state
        except TailLost:
            pass  # it was not polled for too long: what waits is read anew
        self._state = None
        self._state = _State(self._store)
        return self._state


def _pending(row: dict[str, Any]) -> PendingMessage:
    return PendingMessage(
        row["sink"], row["target"], json.loads(row["payload"]), row["seq"], row["created_us"]
    )

"""At least once, so in effect exactly once: takes back every tag and dataset record that was ever enqueued.

It goes through the outbox: a withdrawal is enqueued for each target, so that a crash half-way is finished by
the next attempt, and what a person set or edited is left as the sinks themselves leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from sinks.delivery import Delivery
from sinks.drain import drain
from sinks.registry import class_of
from store import Store
from store.outbox import Outbox, OutboxMessage

IDLE_S = 60.0


@dataclass(frozen=True)
class Undone:
    """How many withdrawals were enqueued, how many deliveries still wait, and why."""

    withdrawn: int
    waiting: int
    reason: str = ""


def withdrawing(store: Store) -> list[str]:
    """The sinks that the outbox ever named and that can take back what they delivered."""
    named = store.table("outbox").read(["sink"])["sink"].unique().sort()
    return [name for name in named if (sink := class_of(name)) is not None and sink.withdraws]


def withdrawals(store: Store) -> list[OutboxMessage]:
    """The withdrawal of every target that the outbox ever named, for each sink that can take it back."""
    sinks = {name: sink for name in withdrawing(store) if (sink := class_of(name)) is not None}
    targets = store.table("outbox").read(["sink", "target"], pl.col("sink").is_in(list(sinks)))
    return [
        OutboxMessage(name, target, sinks[name].withdrawal(target))
        for name, target in sorted(set(targets.iter_rows()))
    ]


def undo(store: Store, deliveries: Sequence[Delivery], clock: Callable[[], int], seconds: float) -> Undone:
    """Enqueue every withdrawal and deliver for up to ``seconds``, as long as any is taken back within
    :data:`IDLE_S`; nothing new the second time.
    """
    outbox = Outbox(store)
    withdrawn = outbox.enqueue(withdrawals(store), clock())
    waiting = drain(deliveries, outbox, clock, seconds, idle_s=IDLE_S)
    return Undone(withdrawn, waiting, "; ".join(one.reason for one in deliveries if one.reason))

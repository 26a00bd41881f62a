"""At least once, so in effect exactly once: takes back every tag and dataset record that was ever enqueued.

It goes through the outbox: a withdrawal is enqueued for each target, so that a crash half-way is finished by
the next attempt, and what a person set or edited is left as the sinks themselves leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from sinks.delivery import Delivery, drain
from sinks.registry import withdrawing
from store import Store
from store.outbox import Outbox, OutboxMessage


@dataclass(frozen=True)
class Undone:
    """How many withdrawals were enqueued, and how many deliveries still wait."""

    withdrawn: int
    waiting: int


def withdrawals(store: Store) -> list[OutboxMessage]:
    """The withdrawal of every target that the outbox ever named, for each sink that can take it back."""
    sinks = {sink.name: sink for sink in withdrawing()}
    named = store.table("outbox").read(["sink", "target"], pl.col("sink").is_in(list(sinks)))
    return [
        OutboxMessage(name, target, sinks[name].withdrawal(target))
        for name, target in sorted(set(named.iter_rows()))
    ]


def undo(store: Store, deliveries: Sequence[Delivery], clock: Callable[[], int], seconds: float) -> Undone:
    """Enqueue every withdrawal and deliver for up to ``seconds``; nothing new the second time."""
    outbox = Outbox(store)
    withdrawn = outbox.enqueue(withdrawals(store), clock())
    return Undone(withdrawn, drain(deliveries, outbox, clock, seconds))

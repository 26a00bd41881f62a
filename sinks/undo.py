"""At least once, so in effect exactly once: takes back every tag and dataset record that was ever wished for.

It goes through the outbox: a withdrawal is wished for each target, so that a crash half-way is finished by
the next attempt, and what a person set or edited is left as the sinks themselves leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sinks.delivery import Delivery, drain
from store import Store
from store.outbox import Outbox, OutboxMessage

SINKS = ("mlflow_tags", "mlflow_datasets")


@dataclass(frozen=True)
class Undone:
    """How many targets were told to be as before, and how many deliveries still wait."""

    withdrawn: int
    waiting: int


def withdrawals(store: Store) -> list[OutboxMessage]:
    """The withdrawal of every target of the two MLflow sinks that the outbox ever named."""
    wished = store.table("outbox").read(["sink", "target"], pl.col("sink").is_in(SINKS))
    empty: dict[str, dict[str, Any]] = {
        "mlflow_tags": {"category": None, "rules": []},
        "mlflow_datasets": {"categories": {}},
    }
    pairs = sorted(set(wished.iter_rows()))
    return [OutboxMessage(sink, target, {"trace_id": target, **empty[sink]}) for sink, target in pairs]


def undo(store: Store, deliveries: Sequence[Delivery], clock: Callable[[], int], seconds: float) -> Undone:
    """Wish for every withdrawal and deliver for up to ``seconds``; nothing new the second time."""
    outbox = Outbox(store)
    withdrawn = outbox.enqueue(withdrawals(store), clock())
    return Undone(withdrawn, drain(deliveries, outbox, clock, seconds))

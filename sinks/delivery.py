"""Exactly-once in effect, for sinks whose deliveries may be repeated: deliver, acknowledge, back off when told to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from sinks.errors import Refused, RetryLater
from store.outbox import Ack, Outbox, Pending

log = logging.getLogger(__name__)
MAX_BACKOFF_S = 60.0
BATCH = 200


class Sink(Protocol):
    """One outside system. Delivering the same wish twice must change nothing."""

    name: str

    def deliver(self, wish: Pending) -> str:
        """Deliver one wish; what was done, as JSON, so that it can be undone.

        Raises:
            RetryLater: the other side cannot take it now.
            Refused: it never will.
        """
        ...


class Delivery:
    """Delivers the wishes of one sink; ``step`` as often as you like, from one thread."""

    def __init__(self, sink: Sink, outbox: Outbox, observe: Callable[[str, str, int], None] | None = None) -> None:
        self._sink = sink
        self._outbox = outbox
        self._observe = observe or (lambda _sink, _outcome, _n: None)
        self._failures = 0
        self._not_before = 0.0

    def step(self, now_us: int) -> int:
        """One pass over the waiting wishes; how many were settled (delivered or refused for good)."""
        if time.monotonic() < self._not_before:
            return 0
        acks: list[Ack] = []
        try:
            for wish in self._outbox.pending(self._sink.name, BATCH):
                acks.append(self._one(wish))
            self._failures = 0
        except RetryLater as error:
            self._failures += 1
            wait = min(MAX_BACKOFF_S, 0.5 * 2 ** min(self._failures, 8))
            self._not_before = time.monotonic() + wait
            self._observe(self._sink.name, "retry", 1)
            log.warning("%s: %s; trying again in %.0f s", self._sink.name, error, wait)
        self._outbox.ack(acks, now_us)
        self._count(acks)
        return len(acks)

    def _one(self, wish: Pending) -> Ack:
        try:
            return Ack(wish, "delivered", result=self._sink.deliver(wish))
        except Refused as error:
            log.warning("%s: refused for good: %s", self._sink.name, error)
            return Ack(wish, "dead", detail=str(error))

    def _count(self, acks: Sequence[Ack]) -> None:
        for outcome in {ack.outcome for ack in acks}:
            self._observe(self._sink.name, outcome, sum(ack.outcome == outcome for ack in acks))


def drain(deliveries: Sequence[Delivery], outbox: Outbox, clock: Callable[[], int], seconds: float) -> int:
    """Deliver until nothing waits or the time is up; how many wishes still wait."""
    deadline = time.monotonic() + seconds
    while (waiting := outbox.count()) and time.monotonic() < deadline:
        if not sum(delivery.step(clock()) for delivery in deliveries):
            time.sleep(0.2)
    return waiting

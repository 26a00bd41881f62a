"""Exactly-once in effect, for sinks whose deliveries may be repeated: deliver, acknowledge, back off when
told to.

A batch of wishes is delivered and then acknowledged in one commit: a kill between the two repeats the batch.
The wishes of one batch have different targets, so that they may go in any order and beside one another; the
next batch begins when the last one has ended, so that what is said of one target keeps its order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sinks.errors import Refused, RetryLater
from store.outbox import Ack, Outbox, PendingMessage

log = logging.getLogger(__name__)
MAX_BACKOFF_S = 60.0
BATCH = 500
GIVE_UP_AFTER = (
    8  # failures, with no more successes beside them, after which the rest of a batch is not tried
)


@dataclass(frozen=True)
class Outcome:
    """What became of one wish: delivered (``result``: what was done, as JSON, for a person to read), or the
    error.
    """

    message: PendingMessage
    error: RetryLater | Refused | None = None
    result: str = ""


class Sink(Protocol):
    """One outside system. Delivering the same wish twice must change nothing."""

    @property
    def name(self) -> str:
        """The sink's name in the outbox, in metrics and in the registry."""
        ...

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Deliver wishes of different targets, in any order; one outcome each, none for those that were not
        tried.

        Raises:
            RetryLater: the other side cannot take any of them now.
        """
        ...


def each(
    messages: Sequence[PendingMessage], deliver: Callable[[PendingMessage], str], *, workers: int = 1
) -> list[Outcome]:
    """Deliver wishes one by one, up to ``workers`` beside one another; stops early when nearly all fail.

    Daemon threads: a server that hangs does not hold up the end of the process.
    """
    outcomes: list[Outcome] = []
    todo, lock = iter(messages), threading.Lock()
    broken: list[BaseException] = []

    def work() -> None:
        while True:
            with lock:
                failed = sum(isinstance(one.error, RetryLater) for one in outcomes)
                message = None if broken or 2 * failed >= len(outcomes) + GIVE_UP_AFTER else next(todo, None)
            if message is None:
                return
            try:
                outcome = _one(message, deliver)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
                broken.append(error)
                return
            with lock:
                outcomes.append(outcome)

    threads = [
        threading.Thread(target=work, name="deliver", daemon=True)
        for _ in range(min(workers, len(messages)) - 1)
    ]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return outcomes


def _one(message: PendingMessage, deliver: Callable[[PendingMessage], str]) -> Outcome:
    try:
        return Outcome(message, result=deliver(message))
    except (RetryLater, Refused) as error:
        return Outcome(message, error)


class Delivery:
    """Delivers the wishes of one sink; ``step`` as often as you like, from one thread."""

    def __init__(
        self, sink: Sink, outbox: Outbox, observe: Callable[[str, str, int], None] | None = None
    ) -> None:
        self.sink = sink
        self._outbox = outbox
        self._observe = observe or (lambda _sink, _outcome, _n: None)
        self._failures = 0
        self._not_before = 0.0
        self._later: dict[str, tuple[int, float]] = {}
        self._told = ""

    def step(self, now_us: int) -> int:
        """One pass over the waiting wishes; how many were settled (delivered or refused for good)."""
        now = time.monotonic()
        if now < self._not_before:
            return 0
        waiting = self._outbox.pending(self.sink.name, BATCH + len(self._later))
        due = [message for message in waiting if self._later.get(message.seq_key, (0, 0.0))[1] <= now][:BATCH]
        self._later = {
            message.seq_key: self._later[message.seq_key]
            for message in waiting
            if message.seq_key in self._later
        }
        if not due:
            return 0
        try:
            outcomes = self.sink.deliver(due)
        except RetryLater as error:
            outcomes = [Outcome(due[0], error)]
        acks = [_ack(one) for one in outcomes if not isinstance(one.error, RetryLater)]
        failed = [one for one in outcomes if isinstance(one.error, RetryLater)]
        down = not acks and not any(isinstance(one.error, RetryLater) and one.error.partly for one in failed)
        self._outbox.ack([*acks, *self._put_off(failed, all_failed=down)], now_us)
        self._count(acks, failed)
        return len(acks)

    def _put_off(self, failed: Sequence[Outcome], *, all_failed: bool) -> list[Ack]:
        """Back off: from the sink when nothing came through, else from those wishes; a new reason is kept for
        ``outbox list``.
        """
        if not failed:
            self._failures, self._told = 0, ""
            return []
        now, reason = time.monotonic(), str(failed[0].error)
        if all_failed:
            self._failures += 1
            wait = _back_off_s(self._failures)
            self._not_before = now + wait
        else:
            self._failures = 0
            for one in failed:
                tries = self._later.get(one.message.seq_key, (0, 0.0))[0] + 1
                self._later[one.message.seq_key] = (tries, now + _back_off_s(tries))
            wait = min(self._later[one.message.seq_key][1] for one in failed) - now
        log.warning("%s: %s; trying again in %.0f s", self.sink.name, reason, wait)
        news = reason != self._told
        self._told = reason
        return [Ack(failed[0].message, "retry", detail=reason)] if news else []

    def _count(self, acks: Sequence[Ack], failed: Sequence[Outcome]) -> None:
        for outcome in {ack.outcome for ack in acks}:
            self._observe(self.sink.name, outcome, sum(ack.outcome == outcome for ack in acks))
        if failed:
            self._observe(self.sink.name, "retry", len(failed))
        refused = [ack for ack in acks if ack.outcome == "dead"]
        if refused:
            log.warning(
                "%s: %d refused for good (`tracesieve outbox list`): %s",
                self.sink.name,
                len(refused),
                refused[0].detail,
            )


def _ack(one: Outcome) -> Ack:
    return (
        Ack(one.message, "delivered", result=one.result)
        if one.error is None
        else Ack(one.message, "dead", detail=str(one.error))
    )


def _back_off_s(failures: int) -> float:
    return min(MAX_BACKOFF_S, 0.5 * float(2 ** min(failures, 8)))


def drain(
    deliveries: Sequence[Delivery],
    outbox: Outbox,
    clock: Callable[[], int],
    seconds: float,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Deliver until nothing of these sinks waits, the time is up or it is told to stop; how many of their
    wishes still wait.
    """
    deadline = time.monotonic() + seconds
    while (
        (waiting := sum(outbox.count(one.sink.name) for one in deliveries))
        and time.monotonic() < deadline
        and not stopping()
    ):
        if not sum(delivery.step(clock()) for delivery in deliveries):
            time.sleep(0.2)
    return waiting

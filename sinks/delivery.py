"""Exactly-once in effect, for sinks whose deliveries may be repeated: deliver, acknowledge, back off when the
other side fails.

A batch of messages is delivered and then acknowledged in one commit: a kill between the two repeats the
batch.  The messages of one batch have different targets, so that they may go in any order and beside one
another; the next batch begins when the last one has ended, so that the messages of one target keep their
order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from sinks.base import Outcome, Payload, Sink
from sinks.errors import Refused, RetryLater
from store.outbox import Ack, Outbox, PendingMessage
from store.stopwatch import Stopwatch

log = logging.getLogger(__name__)
MAX_BACKOFF_S = 60.0
BATCH = 500
MOST_TRIES = 8  # of a message that fails while others come through, in about two minutes
# Failures, with no more successes beside them, after which the rest of a batch is not tried.
GIVE_UP_AFTER = 8


def each(
    messages: Sequence[PendingMessage], deliver: Callable[[PendingMessage], str], *, workers: int = 1
) -> list[Outcome]:
    """Deliver messages one by one, up to ``workers`` beside one another; stops early when nearly all fail.

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
    """Delivers the messages of one sink.

    Any thread may call :meth:`step` and :meth:`resend`, as often as it likes: one at a time gets through to
    the sink, and a call that comes meanwhile does nothing.  So a sink that hangs holds up nobody else, and is
    never used by two threads.
    """

    def __init__(
        self, sink: Sink, outbox: Outbox, observe: Callable[[str, str, int], None] | None = None
    ) -> None:
        self.sink = sink
        self._outbox = outbox
        self._observe = observe or (lambda _sink, _outcome, _n: None)
        self._in_use = threading.Lock()  # guards the sink and what follows
        self._failures = 0
        self._not_before = 0.0
        self._later: dict[str, tuple[int, float]] = {}
        self._tries: dict[str, int] = {}  # of messages that fail by themselves
        self._last_reason = ""

    @property
    def reason(self) -> str:
        """Why the last pass did not settle all that was due; "" where it did."""
        return self._last_reason

    @property
    def busy(self) -> bool:
        """Whether a thread is delivering right now."""
        return self._in_use.locked()

    def step(self, now_us: int) -> int:
        """One pass over the waiting messages; how many were settled (delivered or refused for good).

        0 while another thread is at it.
        """
        if not self._in_use.acquire(blocking=False):
            return 0
        try:
            return self._step(now_us)
        finally:
            self._in_use.release()

    def resend(self, firing: Mapping[str, Payload]) -> None:
        """Let the sink deliver again what still stands; a failure is logged and counted."""
        if not self._in_use.acquire(blocking=False):
            return
        try:
            self.sink.resend(firing)
        except RetryLater as error:
            self._observe(self.sink.name, "retry", 1)
            log.warning("%s", error)
        finally:
            self._in_use.release()

    def _step(self, now_us: int) -> int:
        now = time.monotonic()
        if now < self._not_before:
            return 0
        watch = Stopwatch()
        due = self._due(now)
        if not due:
            return 0
        watch.done("read")
        outcomes = self._refuse_hopeless(self._delivered(due))
        watch.done("deliver")
        acks = [_ack(one) for one in outcomes if not isinstance(one.error, RetryLater)]
        failed = [one for one in outcomes if isinstance(one.error, RetryLater)]
        down = not acks and not any(isinstance(one.error, RetryLater) and one.error.partly for one in failed)
        self._outbox.ack([*acks, *self._put_off(failed, all_failed=down)], now_us)
        self._count(acks, failed)
        watch.done("acknowledge")
        log.debug(
            "%s: %d of %d messages settled, %d put off; %s",
            self.sink.name,
            len(acks),
            len(due),
            len(failed),
            watch,
            extra=watch.extra,
        )
        return len(acks)

    def _delivered(self, due: Sequence[PendingMessage]) -> list[Outcome]:
        """Deliver; a message at which the sink itself breaks is found by halving, so that it harms no other.

        Its error is named by its type alone: its text may hold the content of a trace.
        """
        try:
            return self.sink.deliver(due)
        except RetryLater as error:
            return [Outcome(due[0], error)]
        except Exception as error:
            log.debug("%s breaks at one of %d messages", self.sink.name, len(due), exc_info=True)
            if len(due) == 1:
                reason = f"the delivery of this message breaks ({type(error).__name__})"
                return [Outcome(due[0], RetryLater(reason, local=True))]
        half = len(due) // 2
        return [*self._delivered(due[:half]), *self._delivered(due[half:])]

    def _refuse_hopeless(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Refuse what failed ``MOST_TRIES`` times by itself: while others came through, or on our side."""
        through = any(not isinstance(one.error, RetryLater) for one in outcomes)
        return [self._refused(one, through) for one in outcomes]

    def _refused(self, one: Outcome, through: bool) -> Outcome:
        error = one.error
        if not isinstance(error, RetryLater) or not (error.local or (error.answered and through)):
            return one
        key = one.message.seq_key
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] < MOST_TRIES:
            return one
        del self._tries[key]
        return Outcome(one.message, Refused(f"{error}, {MOST_TRIES} times"))

    def _due(self, now: float) -> list[PendingMessage]:
        """The waiting messages without those that failed a moment ago."""
        waiting = self._outbox.pending(self.sink.name, BATCH + len(self._later))
        keys = {message.seq_key for message in waiting}
        self._later = {key: later for key, later in self._later.items() if key in keys}
        self._tries = {key: tries for key, tries in self._tries.items() if key in keys}
        return [one for one in waiting if self._later.get(one.seq_key, (0, 0.0))[1] <= now][:BATCH]

    def _put_off(self, failed: Sequence[Outcome], *, all_failed: bool) -> list[Ack]:
        """Back off: from the sink when nothing came through, else from those messages; a new reason is kept
        for ``outbox list``.
        """
        if not failed:
            self._failures, self._last_reason = 0, ""
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
        known, self._last_reason = self._last_reason == reason, reason
        return [] if known else [Ack(failed[0].message, "retry", detail=reason)]

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

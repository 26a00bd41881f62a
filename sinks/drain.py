"""Delivering what waits before a command ends: every sink beside the others, for a bounded time.

A call to a server that hangs ends by the client's own timeout, which may come later than ours.  So each sink
has a thread of its own, and one that is still in such a call at the end is left behind: its messages stay in
the outbox, as after a kill.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sinks.delivery import Delivery
from store.outbox import Outbox

log = logging.getLogger(__name__)
_LOOK_S = 0.1


class _Pass:
    """One sink's thread: passes over what waits until nothing does, or it is to end."""

    def __init__(self, delivery: Delivery, outbox: Outbox, clock: Callable[[], int]) -> None:
        self.delivery, self._outbox, self._clock = delivery, outbox, clock
        self.settled_at_s = time.monotonic()
        self.error: BaseException | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name=delivery.sink.name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether nothing of this sink waits any more, or it was ended."""
        return not self._thread.is_alive()

    def end(self) -> None:
        """Ask it to end after the step under way."""
        self._end.set()

    def wait(self) -> None:
        """Wait for its end, for a moment."""
        self._thread.join(_LOOK_S)

    def _work(self) -> None:
        name = self.delivery.sink.name
        try:
            while self._outbox.count(name) and not self._end.is_set():
                if self.delivery.step(self._clock()):
                    self.settled_at_s = time.monotonic()
                else:
                    self._end.wait(_LOOK_S)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
            self.error = error


def drain(
    deliveries: Sequence[Delivery],
    outbox: Outbox,
    clock: Callable[[], int],
    seconds: float,
    stopping: Callable[[], bool] = lambda: False,
    idle_s: float = float("inf"),
) -> int:
    """Deliver until nothing of these sinks waits, the time is up, no sink settled anything for ``idle_s``
    seconds, or ``stopping`` says so; how many of their messages still wait.
    """
    deadline = time.monotonic() + seconds
    passes = [_Pass(one, outbox, clock) for one in deliveries]
    while not all(one.done for one in passes):
        now = time.monotonic()
        idle = now - max(one.settled_at_s for one in passes)
        if now >= deadline or idle >= idle_s or stopping():
            break
        for one in passes:
            one.wait()
    for one in passes:
        one.end()
    for one in passes:
        one.wait()
        if one.error is not None:
            raise one.error
        if not one.done:
            log.warning("%s is still delivering; what waits stays in the outbox", one.delivery.sink.name)
    return sum(outbox.count(one.sink.name) for one in deliveries)

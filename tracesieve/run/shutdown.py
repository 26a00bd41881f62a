"""The end of a run after SIGTERM or Ctrl-C: in order, and within the half minute that supervisors allow.

The batch under way ends, followers read it, deliveries are made once more. What takes too long is broken off:
the process then ends as after ``kill -9``, which loses nothing either.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from streams.query import Handle

log = logging.getLogger("tracesieve.run")
END_S = 27.0
BATCH_S = 20.0
THREADS_S = 23.0  # after this long the end no longer waits for threads that deliver or land


def handle_signals(stop: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C set ``stop``, and end the process ``END_S`` later at the latest; a second Ctrl-C
    ends it at once.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            if number == signal.SIGINT:
                os._exit(130)
            return
        stop.set()
        timer = threading.Timer(END_S, _break_off)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _break_off() -> None:
    log.warning("not done after %.0f s: broken off; the next run goes on from here", END_S)
    logging.shutdown()
    os._exit(0)


def finish_batch(handle: Handle) -> None:
    """End the query after the batch under way, or break that off after ``BATCH_S`` seconds.

    Raises:
        QueryFailed: an error ended it meanwhile.
    """
    if not handle.finish(BATCH_S):
        log.warning("the batch under way is broken off after %.0f s; the next run repeats it", BATCH_S)


def finish(handle: Handle, threads: Sequence[threading.Thread], flush: Callable[[], object]) -> None:
    """End the query after its batch, wait for the threads, flush."""
    deadline = time.monotonic() + THREADS_S
    try:
        finish_batch(handle)
        join(threads, deadline)
        flush()
    except Exception as error:  # noqa: BLE001 - a server that is down must not hold up the end; it is logged
        log.warning("ended without the last deliveries, which stay in the outbox: %s", error)
    log.info("stopped")


def join(threads: Sequence[threading.Thread], deadline: float) -> None:
    """Wait for threads until ``deadline`` (``time.monotonic``); one that is still at work then, such as in a
    call to a server that hangs, goes on until the process ends.
    """
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))

"""The end of a live run: told by SIGTERM or Ctrl-C, in order, and within the half minute that supervisors allow.

The batch under way ends, followers see it, deliveries go out once more.  What takes too long is broken off: then the
process ends as by ``kill -9``, which loses nothing either.
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


def listen(stop: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C set ``stop``; a second Ctrl-C ends the process at once."""

    def heard(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)


def finish(handle: Handle, threads: Sequence[threading.Thread], flush: Callable[[], object]) -> None:
    """End the query after its batch, wait for the threads, flush; after ``END_S`` seconds end the process with exit 0."""
    began = time.monotonic()

    def work() -> None:
        try:
            if not handle.finish(BATCH_S):
                log.warning("the batch under way is broken off after %.0f s; the next run repeats it", BATCH_S)
            for thread in threads:
                thread.join(max(0.0, began + END_S - time.monotonic()))
            flush()
        except Exception as error:  # noqa: BLE001 - a server that is down must not hold up the end; it is said
            log.warning("ended without the last deliveries, which stay in the outbox: %s", error)

    worker = threading.Thread(target=work, name="ending", daemon=True)
    worker.start()
    worker.join(END_S)
    if worker.is_alive():
        log.warning("not done after %.0f s: broken off; the next run goes on from here", END_S)
        logging.shutdown()
        os._exit(0)
    log.info("stopped")

"""How far ``run --once`` is, for whoever waits: on a terminal one line that is rewritten, else a line of the
log every ten seconds.  Nothing is decided by it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tracesieve.log import status_line

log = logging.getLogger("tracesieve.run")
REWRITTEN_S = 0.5
LOGGED_S = 10.0


class Progress:
    """Shows the present stage again and again, in a thread of its own, from ``with`` on until its end.

    ``show`` gets each text, and "" at the end; by default it is chosen by what stderr is.
    """

    def __init__(self, show: Callable[[str], object] | None = None, every_s: float | None = None) -> None:
        rewritten = status_line()
        self._show = show or rewritten or _logged
        self._every_s = every_s or (REWRITTEN_S if rewritten else LOGGED_S)
        self._describe: Callable[[], str] = lambda: "starting"
        self._began_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name="progress", daemon=True)

    def stage(self, describe: Callable[[], str]) -> None:
        """Show from now on what ``describe`` says; it is called in another thread."""
        self._describe = describe

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._show("")

    def _go(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                text = self._describe()
            except Exception as error:  # noqa: BLE001 - whoever works on it meets the same, and says so
                log.debug("no progress to show: %s", type(error).__name__)
                continue
            self._show(f"{text}, {time.monotonic() - self._began_s:.0f} s")


def _logged(text: str) -> None:
    if text:
        log.info("%s", text)


def of_about(done: int, total: int | None, noun: str) -> str:
    """``1,200 of about 5,000 traces``, or without a total where that is not known."""
    of = f" of about {total:,}" if total is not None and total >= done else ""
    return f"{done:,}{of} {noun}"

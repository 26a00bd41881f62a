"""What a first start says of the traces that its source has and that it does not take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from rules.units import duration_text, readable_time
from streams.sources.base import LeftOut

if TYPE_CHECKING:
    from tracesieve.run.parts import Run

log = logging.getLogger("tracesieve.run")
_PATIENCE_S = 10.0  # at the end of a run, for a count that is still going on


def log_left_out(run: Run, now_us: int) -> threading.Thread | None:
    """Count and log them, once, in a thread of its own; None where this is no first start.

    Call it before anything is landed or counted.
    """
    settings = run.settings
    count = settings.source.left_out(run.store, settings.place, now_us, settings.dedupe_horizon)
    if count is None:
        return None
    change = f"source.start: {getattr(settings.source, 'start', '')}`; an earlier one takes them"
    if count.by_horizon:
        horizon = duration_text(settings.dedupe_horizon)
        change = f"dedupe_horizon: {horizon}`; a longer one and `run --rebuild` take them"
    thread = threading.Thread(target=_log, args=(count.ask, change), name="left out", daemon=True)
    thread.start()
    # A thread that is in a library's native code while the interpreter is torn down crashes the process.
    run.stack.callback(thread.join, _PATIENCE_S)
    return thread


def _log(ask: Callable[[], LeftOut], change: str) -> None:
    try:
        found = ask()
    except Exception as error:  # noqa: BLE001 - a number for people; whoever reads the source meets the same
        log.debug("what is left out is not known: %s", error)
        return
    if found.traces != 0:
        number = "the traces" if found.traces is None else f"{found.traces:,} traces"
        since = readable_time(found.before_us, "minutes")
        log.info("left out: %s that began before %s (`%s)", number, since, change)

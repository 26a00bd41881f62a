"""Watching the demo: from its start until Ctrl-C, or until everything is found."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tracesieve.demo.picture import Picture, read_picture
from tracesieve.demo.stage import Stage, stage
from tracesieve.demo.view import ending, line, page, where_to_look
from tracesieve.errors import OutsideError
from tracesieve.terminal import fitted

PATIENCE_S = 240
_READ_EVERY_S = 1.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def watch(*, headless: bool) -> bool:
    """Run the demo and show it; whether an alert, tags and dataset records were found.

    Raises:
        OutsideError: a part of the demo ended by itself, or nothing was found in time.
    """
    began = time.monotonic()
    with _stop_on_signals() as stop:
        click.echo("Starting an MLflow server, a support agent with 25 minutes of history, and the monitor …")
        with stage() as parts:
            watcher = _Watcher(parts, stop, headless, began)
            watcher.run()
            click.echo("\n" + "\n".join(ending(watcher.picture, watcher.alerted_s)))
            if headless:
                _echo_where_to_look("Where to look while it is up (`make demo`)", parts)
            click.echo("Stopping …")
            sys.stdout.flush()
    return watcher.picture.found


class _Watcher:
    """Shows the demo as a live page on a terminal, as lines off one."""

    def __init__(self, parts: Stage, stop: threading.Event, headless: bool, began: float) -> None:
        self.picture = Picture()
        self.alerted_s: float | None = None  # when the first alert was seen
        self._parts, self._stop, self._headless = parts, stop, headless
        self._began = began
        self._live: Live | None = None
        self._last_line = ""
        self._announced = False  # where to look has been printed

    def run(self) -> None:
        """Read the store and show it, until stopped or, when headless, until everything is found."""
        with ExitStack() as stack:
            if sys.stdout.isatty() and not self._headless:
                self._live = stack.enter_context(_live_page())
            while not self._stop.is_set() and not (self._headless and self.picture.found):
                self._parts.check()
                self.picture, elapsed = read_picture(self._parts), time.monotonic() - self._began
                if self.picture.alerts and self.alerted_s is None:
                    self.alerted_s = elapsed
                self._show(elapsed)
                if self._headless and not self.picture.found and elapsed > PATIENCE_S:
                    raise OutsideError(f"the demo found nothing within {PATIENCE_S} s")
                if not (self._headless and self.picture.found):
                    self._stop.wait(_READ_EVERY_S)

    def _show(self, elapsed_s: float) -> None:
        if self._live is not None:
            self._live.update(_drawn(self.picture, self._parts, elapsed_s), refresh=True)
            return
        if (now := line(self.picture)) != self._last_line:
            click.echo(f"{elapsed_s:5.0f} s  {now}")
            self._last_line = now
        if self.picture.found and not self._headless and not self._announced:
            _echo_where_to_look("Found. It goes on until Ctrl-C; where to look:", self._parts)
            self._announced = True


def _echo_where_to_look(heading: str, parts: Stage) -> None:
    click.echo("\n".join([heading, *(f"  {one}" for one in where_to_look(parts))]))


def _drawn(picture: Picture, parts: Stage, elapsed_s: float) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    phase = "found: look around" if picture.found else "watching" if picture.report else "starting"
    for words, style in page(picture, parts, elapsed_s, phase):
        text.append(fitted(words) + "\n", style or None)
    return text


def _live_page() -> Live:
    return Live(
        console=Console(markup=False, emoji=False, highlight=False), auto_refresh=False, transient=True
    )


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, however often; so the demo ends in order at
    any moment.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # After the first signal the process is ending: a second Ctrl-C must not interrupt the
            # interpreter while it shuts down.
            signal.signal(number, signal.SIG_IGN if stop.is_set() else handler)

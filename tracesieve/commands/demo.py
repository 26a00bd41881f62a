"""``tracesieve demo``: the whole thing at work on a simulated support agent whose model endpoint starts to
fail.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tracesieve.errors import OutsideError

if TYPE_CHECKING:
    from tracesieve.demo.stage import Stage
    from tracesieve.demo.view import Picture

PATIENCE_S = 240
_LOOK_S = 1.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("demo")
@click.option("--headless", is_flag=True, help="exit by itself once the alert fires and traces are tagged")
def command(headless: bool) -> None:
    """See the whole thing work on a simulated support agent; nothing outside a temporary folder is
    touched.
    """
    began = time.monotonic()
    with _told_to_stop() as stop:
        from tracesieve.demo.stage import stage
        from tracesieve.demo.view import ending, where_to_look

        click.echo("Starting an MLflow server, a support agent with 25 minutes of history, and the monitor …")
        with stage() as parts:
            picture, alerted = _watch(parts, began, stop, headless)
            click.echo("\n" + "\n".join(ending(picture, alerted)))
            if headless:
                click.echo(
                    "Where to look while it is up (`make demo`)\n"
                    + "\n".join(f"  {one}" for one in where_to_look(parts))
                )
            click.echo("Stopping …")
            sys.stdout.flush()
    if headless and not picture.found:
        raise click.Abort  # told to stop before it had found anything


def _watch(parts: Stage, began: float, stop: threading.Event, headless: bool) -> tuple[Picture, float | None]:
    """Look once a second until told to stop, or until all is found when headless; the last picture, the first
    alert's second.
    """
    from tracesieve.demo.view import line, seen, where_to_look

    show = sys.stdout.isatty() and not headless
    picture, alerted, last, told = seen(parts), None, "", False
    with ExitStack() as stack:
        live: Any = stack.enter_context(_live()) if show else None
        while not stop.is_set():
            parts.check()
            picture, elapsed = seen(parts), time.monotonic() - began
            alerted = elapsed if picture.alerts and alerted is None else alerted
            if live is not None:
                live.update(_drawn(picture, parts, elapsed), refresh=True)
            elif (now := line(picture)) != last:
                click.echo(f"{elapsed:5.0f} s  {now}")
                last = now
            if picture.found and headless:
                break
            if picture.found and not show and not told:
                click.echo(
                    "\n".join(
                        [
                            "Found. It goes on until Ctrl-C; where to look:",
                            *(f"  {w}" for w in where_to_look(parts)),
                        ]
                    )
                )
                told = True
            if headless and elapsed > PATIENCE_S:
                raise OutsideError(f"the demo found nothing within {PATIENCE_S} s")
            stop.wait(_LOOK_S)
    return picture, alerted


def _drawn(picture: Picture, parts: Stage, elapsed: float) -> Any:
    from rich.text import Text

    from tracesieve.demo.view import page
    from tracesieve.terminal import fitted

    text = Text(no_wrap=True, overflow="ellipsis")
    phase = "found: look around" if picture.found else "watching" if picture.report else "starting"
    for words, style in page(picture, parts, elapsed, phase):
        text.append(fitted(words) + "\n", style or None)
    return text


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(
        console=Console(markup=False, emoji=False, highlight=False), auto_refresh=False, transient=True
    )


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, however often, so that the end is orderly at
    any moment.
    """
    stop = threading.Event()

    def heard(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, heard) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # Told once, the process is on its way out: a second Ctrl-C must not catch the interpreter half
            # closed.
            signal.signal(number, signal.SIG_IGN if stop.is_set() else handler)

"""The two ways into a run: watch until a signal comes, or take once what is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tracesieve.run.live import run_live
from tracesieve.run.once import run_once
from tracesieve.run.parts import Run, open_run, wall_us
from tracesieve.run.shutdown import handle_signals
from tracesieve.run.summary import last_batch, summary

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


def watch(settings: Settings, *, dry_run: bool = False, rebuild: bool = False) -> None:
    """Run until SIGTERM or Ctrl-C.

    Raises:
        what :func:`tracesieve.run.parts.open_run` and :func:`tracesieve.run.live.run_live` raise.
    """
    with _opened(settings, dry_run=dry_run, rebuild=rebuild) as run:
        run_live(run)


def take_once(
    settings: Settings, *, dry_run: bool = False, rebuild: bool = False
) -> tuple[dict[str, Any], bool]:
    """Take all that ended up to now; the document of ``run --once --json``, and whether a signal came before
    the end.

    Raises:
        what :func:`tracesieve.run.parts.open_run` and :func:`tracesieve.run.once.run_once` raise.
    """
    with _opened(settings, dry_run=dry_run, rebuild=rebuild) as run:
        before, since_us = last_batch(run.store, run.config.stream_id), wall_us()
        waiting = run_once(run)
        document = summary(run.store, run.config.stream_id, before, since_us, waiting)
        return document, run.stop.is_set()


@contextmanager
def _opened(settings: Settings, *, dry_run: bool, rebuild: bool) -> Iterator[Run]:
    stop = threading.Event()
    with ExitStack() as stack:
        handle_signals(stop)
        yield open_run(settings, stack, dry_run=dry_run, rebuild=rebuild, now_us=wall_us(), stop=stop)

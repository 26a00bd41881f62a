"""The two ways into a run: watch until a signal comes, or take once what is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from sinks import registry
from tracesieve.datasets.sets import DatasetSets
from tracesieve.errors import TracesieveError
from tracesieve.run.left_out import log_left_out
from tracesieve.run.live import run_live
from tracesieve.run.once import run_once
from tracesieve.run.parts import Run, open_run, wall_us
from tracesieve.run.progress import Progress
from tracesieve.run.shutdown import handle_signals
from tracesieve.run.summary import last_batch, summary

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


def watch(settings: Settings, *, dry_run: bool = False, rebuild: bool = False) -> None:
    """Run until SIGTERM or Ctrl-C.

    Raises:
        what :func:`tracesieve.run.parts.open_run` and :func:`tracesieve.run.live.run_live` raise.
    """
    with _opened(settings, dry_run=dry_run, rebuild=rebuild, once=False) as run:
        run_live(run)


def take_once(
    settings: Settings, *, dry_run: bool = False, rebuild: bool = False
) -> tuple[dict[str, Any], bool]:
    """Take all that ended up to now; the document of ``run --once --json``, and whether a signal came before
    the end.

    Raises:
        TracesieveError: alerts would end by themselves, since nothing says when the next run comes.
        what :func:`tracesieve.run.parts.open_run` and :func:`tracesieve.run.once.run_once` raise.
    """
    if not dry_run:
        _check_repeated(settings)
    with _opened(settings, dry_run=dry_run, rebuild=rebuild, once=True) as run:
        before, since_us = last_batch(run.store, run.config.stream_id), wall_us()
        with Progress() as progress:
            waiting = run_once(run, progress)
        sets = DatasetSets.of(settings)
        document = summary(run.store, run.config.stream_id, before, since_us, waiting, sets)
        return document, run.stop.is_set()


def _check_repeated(settings: Settings) -> None:
    """A receiver that forgets alerts would take one for resolved between two runs, while it goes on."""
    forgetful = registry.resending(settings.sinks)
    if forgetful and settings.alerts.once_every is None:
        raise TracesieveError(
            f"alerts.once_every is not set: {', '.join(forgetful)} ends an alert that is not sent again, "
            "so it would say RESOLVED between two runs. Set it to how often `run --once` is repeated, "
            "such as 15m, or use `tracesieve run`"
        )


@contextmanager
def _opened(settings: Settings, *, dry_run: bool, rebuild: bool, once: bool) -> Iterator[Run]:
    stop = threading.Event()
    with ExitStack() as stack:
        handle_signals(stop)
        run = open_run(
            settings, stack, dry_run=dry_run, rebuild=rebuild, now_us=wall_us(), stop=stop, once=once
        )
        log_left_out(run, wall_us())
        yield run

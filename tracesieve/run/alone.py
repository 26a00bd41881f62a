"""A command's work done in this process, as the one run of the store, where no other goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from store.errors import StoreTaken
from store.lease import holder
from tracesieve.run.parts import Run, open_run, wall_us
from tracesieve.run.shutdown import handle_signals

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


@contextmanager
def run_alone(settings: Settings) -> Iterator[Run | None]:
    """The store's run, held by this process until the end of the block, with all followed that is counted;
    None where another run goes on. A signal sets its ``stop``.

    Raises:
        what :func:`tracesieve.run.parts.open_run` raises.
    """
    with ExitStack() as stack:
        run = _opened(settings, stack) if holder(settings.store_path) is None else None
        if run is not None:
            handle_signals(run.stop)
            run.follow_past(wall_us())
        yield run


def _opened(settings: Settings, stack: ExitStack) -> Run | None:
    try:
        return open_run(
            settings, stack, dry_run=False, rebuild=False, now_us=wall_us(), stop=threading.Event()
        )
    except StoreTaken:
        if holder(settings.store_path) is None:  # it is taken otherwise than by a run
            raise
        return None

"""Versions of the datasets as part of a run: when asked, and by itself at most once an hour.

One is taken while no record waits to be written, since a set that is half filled is none that anybody wants.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rules.units import HOUR_US, MINUTE_US
from sinks import registry
from sinks.base import MessageKind
from sinks.errors import SinkError
from sinks.mlflow.config import SERVER
from sinks.mlflow.datasets import MlflowDatasets
from sinks.mlflow.served import ServedDatasets
from store.dataset_versions import BuildRequests, DatasetVersions, Place, StoredVersion
from store.errors import StoreError
from tracesieve.datasets.coverage import noted
from tracesieve.datasets.sets import DatasetSets
from tracesieve.datasets.snapshots import Snapshots
from tracesieve.datasets.versions import short
from tracesieve.run.parts import Run, wall_us
from tracesieve.terminal import number

log = logging.getLogger("tracesieve.run")
EVERY_US = HOUR_US
_PATIENCE_US = 15 * MINUTE_US  # after this long one is taken though records wait


@dataclass
class VersionTaker:
    """Takes the versions of a run; use it from one thread."""

    run: Run
    snapshots: Snapshots
    _due_us: int | None = None
    _asked: tuple[int, int] = (-1, 0)  # the last request, and when it was seen

    def __post_init__(self) -> None:
        self._requests = BuildRequests(self.run.store)

    def step(self, now_us: int) -> None:
        """Take what was asked for, or what is due.

        Raises:
            SinkError: the server failed; the next call tries again.
            StoreUnwritable: the store cannot be written; so too.
        """
        asked = self._requests.open()
        if asked is not None:
            if asked[0] != self._asked[0]:
                self._asked = asked[0], now_us
            if self.run.followed_us > self._asked[1] and not self.waiting():
                self.take(asked[1], now_us)
                self._requests.done(asked[0])
            return
        due_us = self._due(now_us)
        if now_us >= due_us and (not self.waiting() or now_us >= due_us + _PATIENCE_US):
            self.take((), now_us)
            self._due_us = now_us + EVERY_US

    def take(self, names: Collection[str], now_us: int) -> list[StoredVersion]:
        """Take a version of each of these datasets (none: of all) that has changed.

        Raises:
            SinkError: the server failed; what was taken before that is kept.
            StoreUnwritable: the store cannot be written.
        """
        self.run.lease.check()
        found = self.snapshots.take(names, now_us)
        for one in found:
            log.info("version %s of %s: %s", short(one), one.place.dataset, number(one.records, "record"))
        return found

    def waiting(self) -> int:
        """How many messages about records wait."""
        return sum(map(self.run.outbox.count, membership_sinks(self.run)))

    def finish(self, now_us: int) -> None:
        """At the end of ``run --once``: take a version of all, which does what was asked meanwhile, too."""
        if waiting := self.waiting():
            log.info("no versions of the datasets are taken: deliveries of records wait: %d", waiting)
            return
        asked = self._requests.open()
        self.take((), now_us)
        if asked is not None:
            self._requests.done(asked[0])

    def _due(self, now_us: int) -> int:
        """When the next one is due: an hour after the last one that the store has, or at the start."""
        if self._due_us is None:
            last_us = max((one.at_us for one in DatasetVersions(self.run.store).all()), default=0)
            self._due_us = max(now_us, last_us + EVERY_US)
        return self._due_us


def membership_sinks(run: Run) -> list[str]:
    """The names of the sinks that write records."""
    return registry.names(run.settings.sinks, MessageKind.MEMBERSHIP, dry_run=run.dry_run)


def version_taker(run: Run) -> VersionTaker | None:
    """What takes the versions of a run; None where it writes no datasets."""
    server = run.settings.sinks.get(SERVER.path)
    if server is None or MlflowDatasets.name not in membership_sinks(run):
        return None
    sets = DatasetSets.of(run.settings)

    def note_of(place: Place) -> dict[str, Any]:
        return noted(run.store, sets, place.dataset, place.experiment_id, wall_us())

    return VersionTaker(run, Snapshots(run.store, ServedDatasets(server.tracking_uri), note_of))


def take_at_end(run: Run) -> None:
    """Take the versions of a ``run --once``. A server that fails is logged: the next run takes them."""
    taker = None if run.stop.is_set() else version_taker(run)
    if taker is not None:
        try:
            taker.finish(wall_us())
        except (SinkError, StoreError) as error:
            log.warning("no version of the datasets was taken: %s", error)

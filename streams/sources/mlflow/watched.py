"""The experiments that a landing watches, and what becomes of them while it goes on.

They are looked up at the first pass, and again every minute: one may be deleted, restored, renamed, or made
only then.  Each has its own turn, so that one that fails holds up no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from rules.units import MINUTE_US, SECOND_US
from store import Store
from streams.errors import PartlyLanded, SourceDown
from streams.sources.mlflow.backlog import Backlog
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.configured import Configured, Missing
from streams.sources.mlflow.experiment import Experiment
from streams.sources.mlflow.known import Cursor, Known, read_cursors, read_known
from streams.sources.mlflow.source import MlflowSource

_LOG = logging.getLogger(__name__)
_LOOK_US = MINUTE_US
_FIRST_WAIT_US, _LONGEST_WAIT_US = 2 * SECOND_US, MINUTE_US


class Watched:
    """The experiments of a config that are there, in turn; ``known`` is what has landed of them."""

    def __init__(self, config: MlflowSource, store: Store, reader: MlflowReader, known: Known) -> None:
        self._config, self._store, self._reader = config, store, reader
        self._known = known
        self._experiments: list[Experiment] = []
        self._found: Configured | None = None
        self._unopened: dict[str, SourceDown] = {}
        self._looked_us = 0

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self._experiments)

    @property
    def missing(self) -> Mapping[str, str]:
        """Why, of each experiment that cannot be read now or gives no more traces."""
        watched = {one.id for one in self._experiments}
        absent = self._found.missing if self._found else ()
        why = {one.wanted: str(one) for one in absent if one.id not in watched}
        why |= {name: str(error) for name, error in self._unopened.items()}
        why |= {one.name: str(one.failure) for one in self._experiments if one.failure is not None}
        deleted = (Missing(one.name, "deleted", one.id) for one in self._experiments if one.deleted)
        return why | {one.wanted: str(one) for one in deleted}

    def look(self, now_us: int) -> None:
        """Look for the experiments at the first pass, and again every minute for those that are missing.

        Raises:
            UnknownExperiment: none is there at the first pass.
            SourceDown: the server failed.
        """
        before = self._found
        if before is not None:
            all_there = not before.missing and not self._unopened
            if all_there or now_us - self._looked_us < _LOOK_US:
                return
        found = self._config.found(self._reader, self._store)
        if before is None:
            found.check(self._config.tracking_uri)
        logged = before.problems() if before is not None else []
        for line in found.problems({one.id for one in self._experiments}):
            if line not in logged:
                _LOG.warning("%s", line)
        self._open(found, now_us)
        self._found, self._looked_us = found, now_us

    def _open(self, found: Configured, now_us: int) -> None:
        """Begin with those that are not watched yet: where the landing of each stands, what has landed."""
        have = {one.id for one in self._experiments}
        fresh = {key: name for key, name in found.names.items() if key not in have}
        cursors = read_cursors(self._store.table("landing")) if fresh else {}
        self._unopened = {}
        opened = []
        for key, name in fresh.items():
            try:
                opened.append(self._experiment(key, name, cursors.get(key), now_us))
            except SourceDown as error:
                _LOG.warning("experiment %s (%s) cannot be read; the others go on: %s", name, key, error)
                self._unopened[name] = error
        if not have and not opened:
            raise next(iter(self._unopened.values()))
        if opened:
            ids = [one.id for one in opened]
            since_us = now_us - self._config.amend_for
            self._known.update(read_known(self._store.table("traces"), ids, since_us))
        if self._found is not None:
            for one in opened:
                _LOG.info("experiment %s (%s) is there now, and is watched", one.name, one.id)
        self._experiments += opened

    def _experiment(self, key: str, name: str, cursor: Cursor | None, now_us: int) -> Experiment:
        earliest_us = self._reader.earliest_us(key) if self._config.start == "earliest" else None
        first_us = now_us if earliest_us is None else earliest_us - 1000
        start_us = whole_ms(self._config.start_us(now_us, first_us))
        if cursor is None:
            begin_us = max(start_us, whole_ms(now_us - self._config.overlap))
            cursor = Cursor(begin_us, begin_us)
        backlog = Backlog(name, cursor.low_us, start_us, top_us=cursor.low_us, high_us=cursor.high_us)
        return Experiment(key, name, cursor.high_us, backlog)

    def follow_name(self, one: Experiment, now_us: int) -> None:
        """Every minute: follow a rename, a deletion, and its end; each is logged once.

        Raises:
            SourceDown: the server failed.
        """
        if now_us - one.named_us < _LOOK_US:
            return
        name = self._reader.current_name(one.id)
        if name is None and not one.deleted:
            _LOG.warning("%s; no more traces come from it", Missing(one.name, "deleted", one.id))
        elif name is not None and one.deleted:
            _LOG.info("experiment %s (%s) was restored", name, one.id)
        if name is not None and name != one.name:
            _LOG.info("experiment %s is now called %s", one.name, name)
            one.name = name
        one.deleted, one.named_us = name is None, now_us

    def each(self, work: Callable[[Experiment], None], now_us: int) -> None:
        """A turn for each experiment whose time has come; one that fails waits longer and longer.

        Raises:
            SourceDown: all of them fail.
        """
        failures: list[SourceDown | None] = []
        for one in self._experiments:
            if now_us < one.retry_us:
                failures.append(one.failure)
                continue
            try:
                work(one)
            except SourceDown as error:
                failures.append(error)
                self._failed(one, error, now_us)
            else:
                one.failure, one.wait_us, one.retry_us = None, 0, 0
        if failures and len(failures) == len(self._experiments):
            for one in self._experiments:  # down for all: whoever asks waits, and then tries all of them
                one.retry_us = 0
            raise failures[-1] or SourceDown("no experiment can be read")

    def _failed(self, one: Experiment, error: SourceDown, now_us: int) -> None:
        one.wait_us = min(max(2 * one.wait_us, _FIRST_WAIT_US), _LONGEST_WAIT_US)
        one.retry_us = now_us + one.wait_us
        if one.failure is None or str(one.failure) != str(error):
            _LOG.warning("experiment %s (%s) cannot be read; the others go on: %s", one.name, one.id, error)
        one.failure = error

    def each_once(self, work: Callable[[Experiment], None]) -> None:
        """A turn for each experiment, whatever the others come to.

        Raises:
            SourceDown: all of them fail.
            PartlyLanded: some do.
        """
        failures = dict(self._unopened)
        for one in self._experiments:
            try:
                work(one)
            except SourceDown as error:
                failures[one.name] = error
        if failures and len(failures) == len(self._experiments) + len(self._unopened):
            raise next(iter(failures.values()))
        if failures:
            which = "; ".join(f"experiment {name}: {error}" for name, error in failures.items())
            raise PartlyLanded(f"not all could be read, the rest is counted: {which}")


def whole_ms(time_us: int) -> int:
    """A time without its part of a millisecond, which MLflow does not know."""
    return time_us - time_us % 1000

"""Landing: finished traces of an MLflow server, appended at least once to the store's table ``traces``.

Nothing is missed that the server shows: slices of end time with an overlap, a comparison with the server's
own counts (by the minute for the last hour, by the hour for all of ``amend_for``), and a sweep for later
feedback and tags.  The cursor is in the table ``landing``, written after the rows; what is known is read from
``traces``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rules.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from store import Store
from store.final_through import Watermark
from streams.sources.base import Landing
from streams.sources.landed import LandingRow, LandingTables
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.comparison import Comparison
from streams.sources.mlflow.experiment import Experiment, LandingStep
from streams.sources.mlflow.intake import Intake
from streams.sources.mlflow.known import Known
from streams.sources.mlflow.source import MlflowSource
from streams.sources.mlflow.watched import Watched, whole_ms

_SHORT_OVERLAP_US = 15 * SECOND_US
_RELIST_US = 30 * SECOND_US  # how often the whole overlap is listed again
# The last hour's counts are compared this often, besides at the end of each minute: verdicts wait for it.
_COUNT_US = 10 * SECOND_US
_BACKLOG_S = 2.0  # live traces are looked at again after this long
_QUIET_US = MINUTE_US  # a cursor or a watermark without traces is written this often
_FUTURE_US = 400 * DAY_US


class MlflowLanding(Landing):
    """The landing of some experiments of one server."""

    def __init__(
        self,
        config: MlflowSource,
        store: Store,
        clock: Callable[[], int] | None = None,
        reader: MlflowReader | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._reader = reader or MlflowReader(config.tracking_uri)
        self._tables = LandingTables(store, clock) if clock else LandingTables(store)
        self._intake = Intake(self._reader, self._tables, Known(), config.overlap, stopping)
        self._comparison = Comparison(self._reader, self._intake)
        self._watched = Watched(config, store, self._reader, self._intake.known)

    @property
    def settle_us(self) -> int:
        """How long after its end a trace is left alone before it is landed."""
        return self._config.settle

    def step(self, now_us: int) -> LandingStep:
        """One pass: what has ended since, what came late, what changed, and a piece of the backlog.

        Raises:
            SourceError: the server failed, for all experiments; what had landed stays, and the next pass goes
                on from there.
            Stopped: ``stopping()`` became true.
        """
        step = self._intake.begin_pass(last=False)
        through_us = whole_ms(now_us - self._config.settle)
        try:
            self._watched.look(now_us)
            self._watched.each(lambda one: self._turn(one, through_us, now_us), now_us)
        finally:
            self._intake.log_pass()
        step.in_progress = sum(one.in_progress for one in self._watched)
        step.backlog_us = sum(one.backlog.left_us for one in self._watched)
        return step

    def land_through(self, t_us: int) -> LandingStep:
        """All that ended up to ``t_us``, backlog and reconcile included; the caller has waited for
        ``settle_us``.

        Raises:
            PartlyLanded: some experiments cannot be read; what the others had has landed.
            SourceError, Stopped: as :meth:`step`.
        """
        step = self._intake.begin_pass(last=True)
        through_us = whole_ms(t_us)
        try:
            self._watched.look(t_us)
            self._watched.each_once(lambda one: self._whole(one, through_us, t_us))
        finally:
            self._intake.log_pass()
        step.in_progress = sum(one.in_progress for one in self._watched)
        return step

    def missing(self) -> Mapping[str, str]:
        """The experiments of the config that are deleted or unknown, and why; see :class:`Watched`."""
        return self._watched.missing

    def watermarks(self) -> list[Watermark]:
        """How far each experiment is complete, by the server's own counts; none while there is a backlog."""
        known = [one.watermark for one in self._watched]
        return [] if None in known else [one for one in known if one is not None]

    def progress(self) -> tuple[int, int | None]:
        """The traces of this pass; what is to land is known while a backlog is read."""
        expected = [one.backlog.expected for one in self._watched if one.backlog.expected is not None]
        return self._intake.step.landed, sum(expected) if expected and any(expected) else None

    def _turn(self, one: Experiment, through_us: int, now_us: int) -> None:
        """What has ended since, what came late or changed, and a piece of the backlog, of one experiment."""
        self._watched.follow_name(one, now_us)
        self._land_slice(one, through_us, now_us, whole=now_us - one.relisted_us >= _RELIST_US)
        if now_us - one.reconciled_us >= self._config.reconcile:
            self._reconcile(one, through_us, now_us)
        elif self._comparison_is_due(one, through_us, now_us):
            self._compare_last_hour(one, through_us, now_us)
        began = time.monotonic()
        while one.backlog.left_us and time.monotonic() - began < _BACKLOG_S:
            self._read_backlog(one, through_us, now_us)

    def _whole(self, one: Experiment, through_us: int, now_us: int) -> None:
        """All that ended up to ``through_us`` in one experiment."""
        self._watched.follow_name(one, now_us)
        fresh = one.slice_written_us == 0 and one.backlog.low_us == one.backlog.high_us
        self._land_slice(one, through_us, now_us, whole=True)
        while one.backlog.left_us:
            self._read_backlog(one, through_us, now_us)
        self._reconcile(one, through_us, now_us, sweep=not fresh)

    def _land_slice(self, one: Experiment, through_us: int, now_us: int, *, whole: bool) -> None:
        """What has ended since the last slice, and again what ended in the overlap before it."""
        back_us = self._config.overlap if whole else min(self._config.overlap, _SHORT_OVERLAP_US)
        start_us = max(one.high_us - back_us, one.backlog.low_us)
        before = self._counts()
        for infos in self._reader.listed(one.id, start_us, through_us):
            self._intake.land(one, infos, through_us, now_us)
        if whole:
            self._land_future(one, through_us, now_us)
            one.relisted_us = now_us
            since_us = now_us - self._config.amend_for
            since_us -= since_us % HOUR_US
            one.in_progress = self._comparison.in_progress(one, since_us, now_us + HOUR_US)
        one.high_us = max(one.high_us, through_us)
        if self._intake.step.landed > before[0] or now_us - one.slice_written_us >= _QUIET_US:
            self._record(one, "slice", start_us, one.high_us, now_us, before)
            one.slice_written_us = now_us

    def _land_future(self, one: Experiment, through_us: int, now_us: int) -> None:
        """Traces of a wrong clock: they land now, and windows hold them back until their time."""
        begin_us = max(through_us, now_us) + self._config.settle
        for infos in self._reader.listed(one.id, begin_us, through_us + _FUTURE_US):
            self._intake.land(one, infos, through_us + _FUTURE_US, now_us)

    def _read_backlog(self, one: Experiment, through_us: int, now_us: int) -> None:
        """The next piece before the first live slice, back towards the start; the last one is compared with
        the server's counts.
        """
        backlog = one.backlog
        if not backlog.announced:
            backlog.announce(self._comparison.finished(one, backlog.start_us, backlog.low_us))
        low_us, high_us = backlog.next_piece()
        before = self._counts()
        for infos in self._reader.listed(one.id, low_us, high_us):
            self._intake.land(one, infos, through_us, now_us)
        backlog.low_us = low_us
        if low_us == backlog.start_us:  # those without a duration, those that came meanwhile
            from_us = low_us - low_us % HOUR_US
            missed = self._comparison.land_missed(one, from_us, backlog.top_us, through_us, now_us)
            self._intake.step.missed += missed
        found = self._intake.step.landed - before[0]
        self._record(one, "backlog", low_us, high_us, now_us, before)
        backlog.piece_landed(found)

    def _reconcile(self, one: Experiment, through_us: int, now_us: int, *, sweep: bool = True) -> None:
        """Compare the hours with the server's counts, then sweep for what changed without moving its end."""
        one.countable = True  # unless it now turns out not to be
        before = self._counts()
        since_us = max(one.backlog.low_us, now_us - self._config.amend_for)
        from_us = since_us - since_us % HOUR_US
        missed = self._comparison.land_missed(one, from_us, through_us, through_us, now_us)
        one.reconciled_us = now_us
        self._found_complete(one, through_us, now_us, missed)
        self._record_complete(one, since_us, through_us, now_us, before, missed)
        if sweep:
            before = self._counts()
            for infos in self._reader.listed(one.id, since_us, through_us):
                self._intake.land(one, infos, through_us, now_us, counted=True)
            self._record(one, "sweep", since_us, through_us, now_us, before)

    def _comparison_is_due(self, one: Experiment, through_us: int, now_us: int) -> bool:
        minute_has_ended = through_us // MINUTE_US > one.compared_us // MINUTE_US
        return one.countable and (now_us - one.counted_us >= _COUNT_US or minute_has_ended)

    def _compare_last_hour(self, one: Experiment, through_us: int, now_us: int) -> None:
        """Find what arrived late in the last hour within seconds, by counts a minute."""
        since_us = max(one.backlog.low_us, through_us - HOUR_US)
        before = self._counts()
        from_us = since_us + -since_us % MINUTE_US
        missed = self._comparison.land_missed(one, from_us, through_us, through_us, now_us, MINUTE_US)
        one.counted_us = now_us
        if not one.countable:
            return
        self._found_complete(one, through_us, now_us, missed)
        if missed or now_us - one.watermark_written_us >= _QUIET_US:
            self._record_complete(one, since_us, through_us, now_us, before, missed)

    def _found_complete(self, one: Experiment, through_us: int, now_us: int, missed: int) -> None:
        """Counts agree up to ``through_us``: a watermark, unless earlier traces are still to be read."""
        self._intake.step.missed += missed
        one.counted_us, one.compared_us = now_us, through_us
        one.watermark = None if one.backlog.left_us else self._tables.watermark(one.id, through_us)

    def _record_complete(
        self, one: Experiment, since_us: int, to_us: int, now_us: int, before: tuple[int, int], missed: int
    ) -> None:
        kind = "recount" if one.watermark is None else "reconcile"
        self._record(one, kind, since_us, to_us, now_us, before, missed)
        one.watermark_written_us = now_us if one.watermark is not None else 0

    def _counts(self) -> tuple[int, int]:
        """How many traces this pass has landed and skipped so far."""
        return self._intake.step.landed, self._intake.step.skipped

    def _record(
        self,
        one: Experiment,
        kind: str,
        from_us: int,
        to_us: int,
        now_us: int,
        before: tuple[int, int],
        missed: int = 0,
    ) -> None:
        """Write what was done since :meth:`_counts` gave ``before``."""
        landed, skipped = (now - then for now, then in zip(self._counts(), before, strict=True))
        self._tables.record(
            LandingRow(one.id, kind, from_us, to_us, now_us, landed, skipped, one.in_progress, missed)
        )

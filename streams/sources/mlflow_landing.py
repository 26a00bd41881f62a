"""Landing: finished traces of an MLflow server appended to the table ``traces``.

Guarantee: at least once; a repeat after a crash is sorted out by content hash later.  Nothing is missed that the server
shows: slices of end time with an overlap, a reconcile against the server's own counts by the hour, a sweep for later
feedback and tags.  The cursor is in the table ``landing``, written after the rows; what is known is read from ``traces``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from store import Store
from streams.sources.mlflow import MlflowSource
from streams.sources.mlflow_client import HOUR_US, MlflowReader
from streams.sources.mlflow_known import Cursor, Known, read_cursors, read_known
from streams.sources.mlflow_rows import end_us, info_row, trace_row

_LOG = logging.getLogger(__name__)
_FETCH = 500  # traces with spans in memory and in one commit
_SHORT_OVERLAP_US = 15_000_000
_RELIST_US = 30_000_000  # how often the whole overlap is listed again
_BACKLOG_US = 6 * HOUR_US  # a backlog goes back in steps of this
_BACKLOG_S = 2.0  # and live traces are looked at again after this long
_SPANLESS_US = 15_000_000  # a finished trace waits this long for its spans
_QUIET_US = 60_000_000  # a cursor without traces is written this often
_FUTURE_US = 400 * 24 * HOUR_US


@dataclass
class LandingStep:
    """What one pass did, in traces."""

    landed: int = 0
    skipped: int = 0
    missed: int = 0  # found only by a reconcile
    amended: int = 0  # landed again because they had changed
    gone: int = 0  # deleted while being listed
    in_progress: int = 0
    backlog_us: int = 0  # time still to be landed before the first live slice


@dataclass
class _Experiment:
    id: str
    name: str
    cursor: Cursor
    start_us: int
    relisted_us: int = 0
    reconciled_us: int = 0
    written_us: int = 0
    in_progress: int = 0
    explained: dict[int, tuple[int, int]] = field(default_factory=dict)  # by hour: counts that a listing found in order


class MlflowLanding:
    """The one writer of ``traces`` and ``landing``; not thread-safe, no Spark."""

    def __init__(
        self, config: MlflowSource, store: Store, clock: Callable[[], int] | None = None, reader: MlflowReader | None = None
    ) -> None:
        self._config = config
        self._traces, self._landing = store.table("traces"), store.table("landing")
        self._reader = reader or MlflowReader(config.tracking_uri)
        self._clock = clock or (lambda: time.time_ns() // 1000)
        self._experiments: list[_Experiment] | None = None
        self._known = Known()
        self._landed_us = 0
        self._spanless_us = _SPANLESS_US
        self._step = LandingStep()

    def check(self) -> dict[str, str]:
        """The experiments by id.

        Raises:
            SourceError: the server is down, or an experiment is unknown (the message lists those there are).
        """
        return self._reader.experiments(self._config.experiments)

    def step(self, now_us: int) -> LandingStep:
        """One pass: what has ended since, what came late, what changed, and a piece of the backlog.

        Raises:
            SourceError: the server failed; what had landed stays, and the next pass goes on from there.
        """
        self._step, self._spanless_us = LandingStep(), _SPANLESS_US
        through = _whole_ms(now_us - self._config.settle)
        for one in self._open(now_us):
            self._live(one, through, now_us, whole=now_us - one.relisted_us >= _RELIST_US)
            if now_us - one.reconciled_us >= self._config.reconcile:
                self._check_again(one, through, now_us)
            began = time.monotonic()
            while one.cursor.low > one.start_us and time.monotonic() - began < _BACKLOG_S:
                self._backlog(one, through, now_us)
            self._step.in_progress += one.in_progress
            self._step.backlog_us += max(one.cursor.low - one.start_us, 0)
        return self._step

    def land_through(self, t_us: int) -> LandingStep:
        """All that ended up to ``t_us``, backlog and reconcile included; the caller has waited for ``settle``."""
        self._step, self._spanless_us = LandingStep(), 0
        for one in self._open(t_us):
            through = _whole_ms(t_us)
            self._live(one, through, t_us, whole=True)
            while one.cursor.low > one.start_us:
                self._backlog(one, through, t_us)
            self._check_again(one, through, t_us)
            self._step.in_progress += one.in_progress
        return self._step

    def final_through_us(self) -> int | None:
        """The end time up to which all that the server showed has landed; None before the first pass."""
        if not self._experiments:
            return None
        return min(one.cursor.high for one in self._experiments)

    @property
    def landed_us(self) -> int:
        """``landed_us`` of the last row that was landed, 0 before the first."""
        return self._landed_us

    def _open(self, now_us: int) -> list[_Experiment]:
        """At the first pass: the experiments, where each one's landing stands, and what is in the table."""
        if self._experiments is None:
            names = self.check()
            cursors, self._landed_us = read_cursors(self._landing)
            self._known, landed = read_known(self._traces, names, now_us - self._config.amend_for)
            self._landed_us = max(self._landed_us, landed)
            self._experiments = [self._experiment(key, name, cursors.get(key), now_us) for key, name in names.items()]
        return self._experiments

    def _experiment(self, key: str, name: str, cursor: Cursor | None, now_us: int) -> _Experiment:
        earliest = self._reader.earliest_us(key) if self._config.start == "earliest" else None
        start = _whole_ms(self._config.start_us(now_us, now_us if earliest is None else earliest - 1000))
        if cursor is None:
            first = max(start, _whole_ms(now_us - self._config.overlap))
            cursor = Cursor(first, first)
        return _Experiment(key, name, cursor, start)

    def _live(self, one: _Experiment, through: int, now_us: int, *, whole: bool) -> None:
        back = self._config.overlap if whole else min(self._config.overlap, _SHORT_OVERLAP_US)
        start = max(one.cursor.high - back, one.cursor.low)
        landed, skipped = self._step.landed, self._step.skipped
        for infos in self._reader.listed(one.id, start, through):
            self._land(one, infos, through)
        if whole:
            for infos in self._reader.listed(one.id, max(through, now_us) + self._config.settle, through + _FUTURE_US):
                self._land(one, infos, through + _FUTURE_US)  # a wrong clock: landed now, held back by the windows
            one.relisted_us = now_us
            one.in_progress = self._in_progress(one, now_us)
        one.cursor.high = max(one.cursor.high, through)
        if self._step.landed > landed or now_us - one.written_us >= _QUIET_US:
            self._write(one, "slice", start, one.cursor.high, landed, skipped, now_us)

    def _backlog(self, one: _Experiment, through: int, now_us: int) -> None:
        """The next piece before the first live slice, back towards ``start``."""
        high, low = one.cursor.low, max(one.cursor.low - _BACKLOG_US, one.start_us)
        landed, skipped = self._step.landed, self._step.skipped
        for infos in self._reader.listed(one.id, low, high):
            self._land(one, infos, through)
        one.cursor.low = low
        self._step.missed += self._reconcile(one, low - low % HOUR_US, high, through)  # those without a duration
        self._write(one, "backlog", low, high, landed, skipped, now_us)

    def _check_again(self, one: _Experiment, through: int, now_us: int) -> None:
        """Reconcile the hours with the server's counts, then sweep for what changed without moving its end."""
        landed, skipped = self._step.landed, self._step.skipped
        since = max(one.cursor.low, now_us - self._config.amend_for)
        missed = self._reconcile(one, since - since % HOUR_US, through, through)
        self._step.missed += missed
        self._write(one, "reconcile", since, through, landed, skipped, now_us, missed)
        landed, skipped = self._step.landed, self._step.skipped
        for infos in self._reader.listed(one.id, since, through):
            self._land(one, infos, through)
        self._write(one, "sweep", since, through, landed, skipped, now_us)
        one.reconciled_us = now_us

    def _reconcile(self, one: _Experiment, from_us: int, to_us: int, through: int) -> int:
        """List again each hour of start time whose number of finished traces differs; the number that were missed."""
        counts = self._reader.counts(one.id, from_us, to_us + HOUR_US)
        missed = 0
        for hour in range(from_us, to_us, HOUR_US):
            pair = (-1, -1)
            if counts is not None:
                finished = sum(n for (at, state), n in counts.items() if at == hour and state != "IN_PROGRESS")
                pair = (finished, self._known.in_hour(one.id, hour))
                if pair[0] == pair[1] or one.explained.get(hour) == pair:
                    continue
            before = self._step.landed - self._step.amended
            for infos in self._reader.listed(one.id, hour - 1000, hour + HOUR_US - 1000, by="timestamp_ms"):
                self._land(one, [info for info in infos if end_us(info) > one.cursor.low], through)
            found = self._step.landed - self._step.amended - before
            missed += found
            one.explained[hour] = (pair[0], self._known.in_hour(one.id, hour))
        return missed

    def _in_progress(self, one: _Experiment, now_us: int) -> int:
        since = now_us - self._config.amend_for
        counts = self._reader.counts(one.id, since - since % HOUR_US, now_us + HOUR_US) or {}
        return sum(n for (_, state), n in counts.items() if state == "IN_PROGRESS")

    def _land(self, one: _Experiment, infos: Sequence[Any], through: int) -> None:
        """Fetch and append those of a list that are finished and new, or differ from what was landed."""
        wanted = []
        for info in infos:
            if getattr(info.state, "value", info.state) == "IN_PROGRESS" or end_us(info) > through:
                continue
            if self._same(info) and not self._known.awaits_spans(info.trace_id):
                self._step.skipped += 1
            else:
                wanted.append(info)
        for i in range(0, len(wanted), _FETCH):
            self._append(one, wanted[i : i + _FETCH], through)

    def _same(self, info: Any) -> bool:
        return self._known.same(info.trace_id, info_row(info, None, 0))

    def _append(self, one: _Experiment, infos: Sequence[Any], through: int) -> None:
        stamp = max(self._clock(), self._landed_us + 1)
        traces, spanless = self._reader.fetch(infos)
        self._step.gone += len(infos) - len(traces) - len(spanless)
        rows = [trace_row(trace, one.name, stamp) for trace in traces]
        late = through - self._spanless_us
        rows += [info_row(info, one.name, stamp) for info in spanless if end_us(info) <= late and not self._same(info)]
        rows = [row for row in rows if row["state"] != "IN_PROGRESS"]
        if not rows:
            return
        self._traces.append(rows)
        self._landed_us = stamp
        listed = {info.trace_id: info for info in infos}
        for row in rows:
            self._step.landed += 1
            self._step.amended += row["trace_id"] in self._known
            self._known.add(row, info_row(listed[row["trace_id"]], None, 0))

    def _write(
        self, one: _Experiment, kind: str, low: int, high: int, landed: int, skipped: int, now_us: int, missed: int = 0
    ) -> None:
        row = {
            "experiment_id": one.id,
            "kind": kind,
            "from_us": low,
            "to_us": high,
            "landed": self._step.landed - landed,
            "skipped": self._step.skipped - skipped,
            "in_progress": one.in_progress,
            "missed": missed,
            "landed_through_us": self._landed_us,
            "at_us": now_us,
        }
        self._landing.append([row])
        one.written_us = now_us
        _LOG.debug("landing %s: %s", kind, row)


def _whole_ms(time_us: int) -> int:
    return time_us - time_us % 1000

"""Landing: finished traces of an MLflow server appended to the table ``traces``.

Guarantee: at least once; a repeat after a crash is sorted out by content hash later.  Nothing is missed that
the server
shows: slices of end time with an overlap, a comparison with the server's own counts (by the minute for the
last hour, by the hour for all of ``amend_for``), a sweep for later feedback and tags.  The cursor is in the
table ``landing``, written after the rows; what is known is read from ``traces``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from rules.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from store import Store
from store.final_through import Watermark
from streams.errors import Stopped
from streams.sources.base import Landing
from streams.sources.mlflow.backlog import Backlog, Experiment, LandingStep
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.known import Cursor, Known, read_cursors, read_known
from streams.sources.mlflow.rows import end_us, info_row, promised_spans, trace_row
from streams.sources.mlflow.source import MlflowSource

_LOG = logging.getLogger(__name__)
_FETCH = 500  # traces with spans in memory and in one commit
_SHORT_OVERLAP_US = 15 * SECOND_US
_RELIST_US = 30 * SECOND_US  # how often the whole overlap is listed again
# The last hour's counts are compared this often, besides at the end of each minute: verdicts wait for it.
_COUNT_US = 10 * SECOND_US
_BACKLOG_S = 2.0  # live traces are looked at again after this long
_SPANLESS_US = 15 * SECOND_US  # a finished trace waits this long for its spans
_QUIET_US = MINUTE_US  # a cursor without traces is written this often
_FUTURE_US = 400 * DAY_US
_MOST_COUNTED_US = 30 * DAY_US  # of time in one call for counts


class MlflowLanding(Landing):
    """The one writer of ``traces`` and ``landing``; not thread-safe, no Spark."""

    def __init__(
        self,
        config: MlflowSource,
        store: Store,
        clock: Callable[[], int] | None = None,
        reader: MlflowReader | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._traces, self._landing = store.table("traces"), store.table("landing")
        self._reader = reader or MlflowReader(config.tracking_uri)
        self._clock = clock or (lambda: time.time_ns() // 1000)
        self._stopping = stopping
        self._experiments: list[Experiment] | None = None
        self._known = Known()
        self._landed_us = 0
        self._spanless_us = _SPANLESS_US
        self._tried: set[str] = set()  # whose spans were asked for in this pass
        self._step = LandingStep()

    @property
    def settle_us(self) -> int:
        """How long after its end a trace is left alone before it is landed."""
        return self._config.settle

    def step(self, now_us: int) -> LandingStep:
        """One pass: what has ended since, what came late, what changed, and a piece of the backlog.

        Raises:
            SourceError: the server failed; what had landed stays, and the next pass goes on from there.
            Stopped: ``stopping()`` became true.
        """
        self._begin(_SPANLESS_US)
        through = _whole_ms(now_us - self._config.settle)
        for one in self._open(now_us):
            self._live(one, through, now_us, whole=now_us - one.relisted_us >= _RELIST_US)
            if now_us - one.reconciled_us >= self._config.reconcile:
                self._check_again(one, through, now_us)
            elif one.countable and (
                now_us - one.counted_us >= _COUNT_US or through // MINUTE_US > one.compared_us // MINUTE_US
            ):
                self._compare_last_hour(one, through, now_us)
            began = time.monotonic()
            while one.backlog.left_us and time.monotonic() - began < _BACKLOG_S:
                self._read_backlog(one, through, now_us)
            self._step.in_progress += one.in_progress
            self._step.backlog_us += one.backlog.left_us
        return self._step

    def land_through(self, t_us: int) -> LandingStep:
        """All that ended up to ``t_us``, backlog and reconcile included; the caller has waited for
        ``settle``.

        Raises:
            SourceError, Stopped: as :meth:`step`.
        """
        self._begin(0)
        through = _whole_ms(t_us)
        for one in self._open(t_us):
            fresh = one.written_us == 0 and one.backlog.low == one.backlog.high
            self._live(one, through, t_us, whole=True)
            while one.backlog.left_us:
                self._read_backlog(one, through, t_us)
            self._check_again(one, through, t_us, sweep=not fresh)
            self._step.in_progress += one.in_progress
        return self._step

    def watermarks(self) -> list[Watermark]:
        """How far each experiment is complete, by the server's own counts; none while there is a backlog."""
        known = [one.watermark for one in self._experiments or []]
        return [] if None in known else [one for one in known if one is not None]

    def _begin(self, spanless_us: int) -> None:
        self._step, self._spanless_us = LandingStep(), spanless_us
        self._tried.clear()

    def _open(self, now_us: int) -> list[Experiment]:
        """At the first pass: the experiments, where each one's landing stands, and what is in the table."""
        if self._experiments is None:
            names = self._config.experiment_names(self._reader)
            cursors, self._landed_us = read_cursors(self._landing)
            self._known, landed = read_known(self._traces, names, now_us - self._config.amend_for)
            self._landed_us = max(self._landed_us, landed)
            self._experiments = [
                self._experiment(key, name, cursors.get(key), now_us) for key, name in names.items()
            ]
        return self._experiments

    def _experiment(self, key: str, name: str, cursor: Cursor | None, now_us: int) -> Experiment:
        earliest = self._reader.earliest_us(key) if self._config.start == "earliest" else None
        start = _whole_ms(self._config.start_us(now_us, now_us if earliest is None else earliest - 1000))
        if cursor is None:
            first = max(start, _whole_ms(now_us - self._config.overlap))
            cursor = Cursor(first, first)
        return Experiment(
            key, name, cursor.high, Backlog(name, cursor.low, start, top=cursor.low, high=cursor.high)
        )

    def _live(self, one: Experiment, through: int, now_us: int, *, whole: bool) -> None:
        back = self._config.overlap if whole else min(self._config.overlap, _SHORT_OVERLAP_US)
        start = max(one.high - back, one.backlog.low)
        landed, skipped = self._step.landed, self._step.skipped
        for infos in self._reader.listed(one.id, start, through):
            self._land(one, infos, through, now_us)
        if whole:
            for infos in self._reader.listed(
                one.id, max(through, now_us) + self._config.settle, through + _FUTURE_US
            ):
                self._land(
                    one, infos, through + _FUTURE_US, now_us
                )  # a wrong clock: landed now, held back by the windows
            one.relisted_us = now_us
            one.in_progress = self._in_progress(one, now_us)
        one.high = max(one.high, through)
        if self._step.landed > landed or now_us - one.written_us >= _QUIET_US:
            self._write(one, "slice", start, one.high, landed, skipped, now_us)
            one.written_us = now_us

    def _read_backlog(self, one: Experiment, through: int, now_us: int) -> None:
        """The next piece before the first live slice, back towards ``start``; the last one is compared with
        the counts.
        """
        backlog = one.backlog
        if not backlog.told:
            backlog.tell(self._count_finished(one, backlog.start, backlog.low))
        low, high = backlog.next_piece()
        landed, skipped = self._step.landed, self._step.skipped
        for infos in self._reader.listed(one.id, low, high):
            self._land(one, infos, through, now_us)
        backlog.low = low
        if low == backlog.start:  # those without a duration, those that came meanwhile
            self._step.missed += self._reconcile(one, low - low % HOUR_US, backlog.top, through, now_us)
        found = self._step.landed - landed
        self._write(one, "backlog", low, high, landed, skipped, now_us)
        backlog.took(found)

    def _count_finished(self, one: Experiment, from_us: int, to_us: int) -> int | None:
        total = 0
        for begin in range(from_us, to_us, _MOST_COUNTED_US):
            counts = self._reader.counts(one.id, begin, min(begin + _MOST_COUNTED_US, to_us), 24 * HOUR_US)
            if counts is None:
                return None
            total += sum(n for (_, state), n in counts.items() if state != "IN_PROGRESS")
        return total

    def _check_again(self, one: Experiment, through: int, now_us: int, *, sweep: bool = True) -> None:
        """Reconcile the hours with the server's counts, then sweep for what changed without moving its
        end.
        """
        self._look_up(one)
        one.countable = True  # unless it now turns out not to be
        landed, skipped = self._step.landed, self._step.skipped
        since = max(one.backlog.low, now_us - self._config.amend_for)
        missed = self._reconcile(one, since - since % HOUR_US, through, through, now_us)
        self._step.missed += missed
        one.counted_us, one.reconciled_us = now_us, now_us
        self._found_complete(one, through)
        self._write_comparison(one, since, through, landed, skipped, now_us, missed)
        if sweep:
            landed, skipped = self._step.landed, self._step.skipped
            for infos in self._reader.listed(one.id, since, through):
                self._land(one, infos, through, now_us, promised=True)
            self._write(one, "sweep", since, through, landed, skipped, now_us)

    def _compare_last_hour(self, one: Experiment, through: int, now_us: int) -> None:
        """Find what arrived late in the last hour within seconds, by counts a minute; then all up to
        ``through`` is final.
        """
        since = max(one.backlog.low, through - HOUR_US)
        landed, skipped = self._step.landed, self._step.skipped
        missed = self._reconcile(one, since + -since % MINUTE_US, through, through, now_us, MINUTE_US)
        one.counted_us = now_us
        if not one.countable:
            return
        self._step.missed += missed
        self._found_complete(one, through)
        if missed or now_us - one.watermark_written_us >= _QUIET_US:
            self._write_comparison(one, since, through, landed, skipped, now_us, missed)

    def _found_complete(self, one: Experiment, through: int) -> None:
        """Note that counts agree up to ``through``; a watermark, unless earlier traces are still to be
        read.
        """
        one.compared_us = through
        one.watermark = None if one.backlog.left_us else Watermark(one.id, through, self._landed_us)

    def _write_comparison(
        self, one: Experiment, since: int, through: int, landed: int, skipped: int, now_us: int, missed: int
    ) -> None:
        kind = "recount" if one.watermark is None else "reconcile"
        self._write(one, kind, since, through, landed, skipped, now_us, missed)
        one.watermark_written_us = now_us if one.watermark is not None else 0

    def _look_up(self, one: Experiment) -> None:
        """Follow a rename; an experiment that was deleted goes on being watched, and that is said once."""
        name = self._reader.now_called(one.id)
        if name is None and not one.deleted:
            _LOG.warning(
                "experiment %s (%s) was deleted on the server: no more traces will come from it",
                one.name,
                one.id,
            )
        elif name is not None and name != one.name:
            _LOG.info("experiment %s is now called %s", one.name, name)
            one.name = name
        one.deleted = name is None

    def _reconcile(
        self, one: Experiment, from_us: int, to_us: int, through: int, now_us: int, size_us: int = HOUR_US
    ) -> int:
        """List again each piece of start time whose number of finished traces differs; the number that were
        missed.
        """
        counts: dict[tuple[int, str], int] = {}
        for begin in range(from_us, to_us, _MOST_COUNTED_US):
            part = self._reader.counts(one.id, begin, min(begin + _MOST_COUNTED_US, to_us + size_us), size_us)
            if part is None:  # an older server: list it all, though not every few seconds
                one.countable = False
                return self._list_by_start(one, from_us, to_us, through, now_us) if size_us == HOUR_US else 0
            counts |= part
        finished: dict[int, int] = {}
        for (at, state), number in counts.items():
            if state != "IN_PROGRESS":
                finished[at] = finished.get(at, 0) + number
        missed = 0
        for piece in range(from_us, to_us, size_us):
            pair = (finished.get(piece, 0), self._known.started_in(one.id, piece, size_us))
            if pair[0] == pair[1] or one.explained.get((piece, size_us)) == pair:
                continue
            missed += self._list_by_start(one, piece, piece + size_us, through, now_us)
            one.explained[(piece, size_us)] = (pair[0], self._known.started_in(one.id, piece, size_us))
        return missed

    def _list_by_start(self, one: Experiment, from_us: int, to_us: int, through: int, now_us: int) -> int:
        """Land what started in [from, to); the number of traces that were not known."""
        before = self._step.landed - self._step.amended
        for infos in self._reader.listed(one.id, from_us - 1000, to_us - 1000, by="timestamp_ms"):
            self._land(one, [info for info in infos if end_us(info) > one.backlog.low], through, now_us)
        return self._step.landed - self._step.amended - before

    def _in_progress(self, one: Experiment, now_us: int) -> int:
        since = now_us - self._config.amend_for
        counts = self._reader.counts(one.id, since - since % HOUR_US, now_us + HOUR_US) or {}
        return sum(n for (_, state), n in counts.items() if state == "IN_PROGRESS")

    def _land(
        self, one: Experiment, infos: Sequence[Any], through: int, now_us: int, *, promised: bool = False
    ) -> None:
        """Fetch and append those of a list that are finished and new, or differ from what was landed.

        Those that landed without spans are asked for again while they are young, and with ``promised`` those
        whose client said that there are spans.
        """
        wanted = []
        for info in infos:
            if getattr(info.state, "value", info.state) == "IN_PROGRESS" or end_us(info) > through:
                continue
            if self._same(info) and not self._may_have_spans(info, now_us, promised):
                self._step.skipped += 1
            else:
                wanted.append(info)
        for i in range(0, max(len(wanted), 1), _FETCH):
            if self._stopping():
                raise Stopped
            self._append(one, wanted[i : i + _FETCH], through)

    def _same(self, info: Any) -> bool:
        return self._known.same(info.trace_id, info_row(info, None, 0))

    def _may_have_spans(self, info: Any, now_us: int, promised: bool) -> bool:
        if not self._known.awaits_spans(info.trace_id) or info.trace_id in self._tried:
            return False
        return end_us(info) > now_us - self._config.overlap or (promised and promised_spans(info) > 0)

    def _append(self, one: Experiment, infos: Sequence[Any], through: int) -> None:
        stamp = max(self._clock(), self._landed_us + 1)
        traces, spanless = self._reader.fetch(infos)
        self._step.gone += len(infos) - len(traces) - len(spanless)
        self._tried.update(info.trace_id for info in spanless)
        rows = [trace_row(trace, one.name, stamp) for trace in traces]
        late = through - self._spanless_us
        rows += [
            info_row(info, one.name, stamp)
            for info in spanless
            if end_us(info) <= late and not self._same(info)
        ]
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
        self,
        one: Experiment,
        kind: str,
        low: int,
        high: int,
        landed: int,
        skipped: int,
        now_us: int,
        missed: int = 0,
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
        _LOG.debug("landing %s: %s", kind, row)


def _whole_ms(time_us: int) -> int:
    return time_us - time_us % 1000

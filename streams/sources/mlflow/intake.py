"""From a listing of traces to rows of the store: which of them are new or have changed, fetched and
appended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from rules.units import SECOND_US
from store.stopwatch import Stopwatch
from streams.errors import Stopped
from streams.sources.landed import LandingTables
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.experiment import Experiment, LandingStep
from streams.sources.mlflow.known import Known
from streams.sources.mlflow.rows import Row, client_span_count, end_us, info_row, trace_row

log = logging.getLogger(__name__)
_FETCH = 500  # traces with spans in memory and in one commit
_SPANLESS_US = 15 * SECOND_US  # a finished trace waits this long for its spans


class Intake:
    """Lands listed traces, at least once each; ``step`` counts what the present pass did.

    ``overlap_us``: for so long after its end a trace that came without spans is asked for again.
    """

    def __init__(
        self,
        reader: MlflowReader,
        tables: LandingTables,
        known: Known,
        overlap_us: int,
        stopping: Callable[[], bool],
    ) -> None:
        self._reader, self._tables = reader, tables
        self.known = known
        self._overlap_us, self._stopping = overlap_us, stopping
        self.step, self._watch = LandingStep(), Stopwatch()
        self._spanless_us = _SPANLESS_US
        self._tried: set[str] = set()  # whose spans were asked for in this pass

    def begin_pass(self, *, last: bool) -> LandingStep:
        """Begin to count anew; in the ``last`` pass of a run no trace waits for its spans."""
        self.step, self._spanless_us = LandingStep(), 0 if last else _SPANLESS_US
        self._watch = Stopwatch()
        self._tried.clear()
        return self.step

    def land(
        self, one: Experiment, infos: Sequence[Any], through_us: int, now_us: int, *, counted: bool = False
    ) -> None:
        """Fetch and append those of a list that have ended by ``through_us`` and are new, or differ from what
        was landed.

        Those that landed without spans are asked for again while they are young, and with ``counted`` also
        those whose client counted spans.

        Raises:
            SourceDown: the server failed; what was appended stays.
            Stopped: the run is to end.
        """
        self._watch.done("list")
        wanted = []
        for info in infos:
            if _state(info) == "IN_PROGRESS" or end_us(info) > through_us:
                continue
            if self._is_known(info) and not self._may_have_spans(info, now_us, counted):
                self.step.skipped += 1
            else:
                wanted.append(info)
        for i in range(0, max(len(wanted), 1), _FETCH):
            if self._stopping():
                raise Stopped
            self._append(one, wanted[i : i + _FETCH], through_us)

    def _is_known(self, info: Any) -> bool:
        return self.known.same(info.trace_id, info_row(info, None))

    def _may_have_spans(self, info: Any, now_us: int, counted: bool) -> bool:
        if not self.known.awaits_spans(info.trace_id) or info.trace_id in self._tried:
            return False
        return end_us(info) > now_us - self._overlap_us or (counted and client_span_count(info) > 0)

    def _append(self, one: Experiment, infos: Sequence[Any], through_us: int) -> None:
        traces, spanless = self._reader.fetch(infos)
        self._watch.done("fetch")
        self.step.gone += len(infos) - len(traces) - len(spanless)
        self._tried.update(info.trace_id for info in spanless)
        due_us = through_us - self._spanless_us
        rows = [trace_row(trace, one.name) for trace in traces]
        rows += [
            info_row(info, one.name)
            for info in spanless
            if end_us(info) <= due_us and not self._is_known(info)
        ]
        rows = [row for row in rows if row["state"] != "IN_PROGRESS"]
        self._watch.done("convert")
        if rows:
            self._tables.append(rows)
            self._note(rows, infos)
            self._watch.done("append")

    def log_pass(self) -> None:
        """Log at level debug what the pass did and how long its stages took, if anything was landed."""
        step, watch = self.step, self._watch
        watch.done("list")  # the server's counts are among it
        if step.landed:
            text = "landing: %d traces landed, %d of them again, %d known; %s"
            log.debug(text, step.landed, step.amended, step.skipped, watch, extra=watch.extra)

    def _note(self, rows: Sequence[Row], infos: Sequence[Any]) -> None:
        listed = {info.trace_id: info for info in infos}
        for row in rows:
            self.step.landed += 1
            self.step.amended += row["trace_id"] in self.known
            self.known.add(row, info_row(listed[row["trace_id"]], None))


def _state(info: Any) -> str:
    return str(getattr(info.state, "value", info.state))

"""The line a minute by which a run that goes on says what it did: from the numbers behind ``/metrics``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from rules.units import duration_text, readable_time
from sinks import registry
from sinks.base import MessageKind

if TYPE_CHECKING:
    from sinks.prometheus.state import LabelValues, MetricsState

log = logging.getLogger("tracesieve.run")
EVERY_S = 60.0
QUIET_S = 600.0  # while nothing happens
_Values = Mapping[str, Mapping["LabelValues", float]]


@dataclass(frozen=True)
class Totals:
    """What was done since the process started."""

    traces: int = 0
    errors: int = 0
    backlog: int = 0
    amended: int = 0
    matches: int = 0
    tagged: int = 0
    to_datasets: int = 0
    refused: int = 0

    def since(self, before: Totals) -> Totals:
        """What was done between then and now."""
        return Totals(*(now - then for now, then in zip(_numbers(self), _numbers(before), strict=True)))


@dataclass(frozen=True)
class Standing:
    """How things stand now; times in µs, None where it is not known yet."""

    firing: int
    waiting: int
    final_through_us: int | None


class Activity:
    """Logs one line a minute; while nothing happens, one every ten minutes. ``monotonic_s`` is given by
    tests.
    """

    def __init__(self, state: MetricsState, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._state, self._now_s = state, monotonic_s
        self._done, self._standing = _of(state.values())
        self._looked_s = self._logged_s = monotonic_s()

    def step(self) -> None:
        """Log the line if it is time for one."""
        now_s = self._now_s()
        if now_s - self._looked_s < EVERY_S:
            return
        self._looked_s = now_s
        done, standing = _of(self._state.values())
        new = done.since(self._done)
        same = (standing.firing, standing.waiting) == (self._standing.firing, self._standing.waiting)
        if new == Totals() and same and now_s - self._logged_s < QUIET_S:
            return
        span = duration_text(max(round((now_s - self._logged_s) / EVERY_S), 1) * 60_000_000)
        shown = {"seconds": round(now_s - self._logged_s), **asdict(new), **asdict(standing)}
        log.info("last %s: %s; %s", span, _done_text(new), _standing_text(standing), extra={"fields": shown})
        self._done, self._standing, self._logged_s = done, standing, now_s


def _of(values: _Values) -> tuple[Totals, Standing]:
    traces = values["tracesieve_traces"]
    sent: dict[MessageKind, float] = {}
    for (sink, outcome), number in values["tracesieve_deliveries"].items():
        found = registry.class_of(sink)
        if found is not None and outcome == "delivered":
            sent[found.consumes] = sent.get(found.consumes, 0) + number
    dead = [number for (_, outcome), number in values["tracesieve_deliveries"].items() if outcome == "dead"]
    through_s = values["tracesieve_final_through_timestamp_seconds"].get(())
    done = Totals(
        traces=_sum(traces),
        errors=int(sum(number for labels, number in traces.items() if labels[-1] == "ERROR")),
        backlog=_sum(values["tracesieve_backfilled_traces"]),
        amended=_sum(values["tracesieve_amended_traces"]),
        matches=_sum(values["tracesieve_rule_matches"]),
        tagged=int(sent.get(MessageKind.TAGS, 0)),
        to_datasets=int(sent.get(MessageKind.MEMBERSHIP, 0)),
        refused=int(sum(dead)),
    )
    return done, Standing(
        firing=_sum(values["tracesieve_alerts"]),
        waiting=_sum(values["tracesieve_outbox_pending"]),
        final_through_us=round(through_s * 1e6) if through_s else None,
    )


def _done_text(new: Totals) -> str:
    if new == Totals():
        return "nothing new"
    parts = [f"{_number(new.traces, 'trace')} ({_number(new.errors, 'error')})"]
    for number, words in (
        (new.backlog, "of the backlog"),
        (new.amended, "amended"),
        (new.matches, "matches of rules"),
        (new.tagged, "tagged"),
        (new.to_datasets, "to datasets"),
        (new.refused, "deliveries refused"),
    ):
        if number:
            parts.append(f"{number:,} {words}")
    return ", ".join(parts)


def _standing_text(standing: Standing) -> str:
    through = standing.final_through_us
    final = f"final through {readable_time(through)}" if through is not None else "nothing final yet"
    firing, waiting = _number(standing.firing, "alert"), _number(standing.waiting, "message")
    return f"{final}, {firing} firing, {waiting} waiting"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _numbers(totals: Totals) -> list[int]:
    return [getattr(totals, one.name) for one in fields(totals)]


def _sum(values: Mapping[LabelValues, float]) -> int:
    return int(sum(values.values()))

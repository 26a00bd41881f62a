"""The server's own counts beside what has landed: where they differ, that time is listed again."""

from __future__ import annotations

from rules.units import DAY_US, HOUR_US
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.experiment import Experiment
from streams.sources.mlflow.intake import Intake
from streams.sources.mlflow.rows import end_us

_MOST_COUNTED_US = 30 * DAY_US  # of time in one call for counts
_IN_PROGRESS = "IN_PROGRESS"


def finished(reader: MlflowReader, experiment: str, from_us: int, to_us: int) -> int | None:
    """The server's number of finished traces that started in the range; None where it does not say."""
    total = 0
    for begin_us in range(from_us, to_us, _MOST_COUNTED_US):
        counts = reader.counts(experiment, begin_us, min(begin_us + _MOST_COUNTED_US, to_us), DAY_US)
        if counts is None:
            return None
        total += sum(number for (_, state), number in counts.items() if state != _IN_PROGRESS)
    return total


class Comparison:
    """Finds traces that slices have missed."""

    def __init__(self, reader: MlflowReader, intake: Intake) -> None:
        self._reader, self._intake = reader, intake

    def finished(self, one: Experiment, from_us: int, to_us: int) -> int | None:
        """See :func:`finished`."""
        return finished(self._reader, one.id, from_us, to_us)

    def in_progress(self, one: Experiment, from_us: int, to_us: int) -> int:
        """The server's number of unfinished traces that started in the range; 0 where it does not say."""
        counts = self._reader.counts(one.id, from_us, to_us) or {}
        return sum(number for (_, state), number in counts.items() if state == _IN_PROGRESS)

    def land_missed(
        self,
        one: Experiment,
        from_us: int,
        to_us: int,
        through_us: int,
        now_us: int,
        size_us: int = HOUR_US,
    ) -> int:
        """List again each piece of start time whose number of finished traces differs; how many were missed.

        An older server cannot count: it is listed whole for pieces of an hour, and not at all for smaller
        ones, which are asked for every few seconds. Then ``one.countable`` is false.
        """
        counts = self._counts(one, from_us, to_us, size_us)
        if counts is None:
            one.countable = False
            whole = size_us == HOUR_US
            return self._list_by_start(one, from_us, to_us, through_us, now_us) if whole else 0
        finished: dict[int, int] = {}
        for (at_us, state), number in counts.items():
            if state != _IN_PROGRESS:
                finished[at_us] = finished.get(at_us, 0) + number
        missed = 0
        for piece_us in range(from_us, to_us, size_us):
            there = finished.get(piece_us, 0)
            here = self._intake.known.started_in(one.id, piece_us, size_us)
            if there == here or one.explained.get((piece_us, size_us)) == (there, here):
                continue
            missed += self._list_by_start(one, piece_us, piece_us + size_us, through_us, now_us)
            here = self._intake.known.started_in(one.id, piece_us, size_us)
            one.explained[(piece_us, size_us)] = (there, here)
        return missed

    def _counts(
        self, one: Experiment, from_us: int, to_us: int, size_us: int
    ) -> dict[tuple[int, str], int] | None:
        """The server's counts of a range of any length, made of whole pieces."""
        found: dict[tuple[int, str], int] = {}
        for begin_us in range(from_us, to_us, _MOST_COUNTED_US):
            until_us = min(begin_us + _MOST_COUNTED_US, to_us + size_us)
            part = self._reader.counts(one.id, begin_us, until_us, size_us)
            if part is None:
                return None
            found |= part
        return found

    def _list_by_start(self, one: Experiment, from_us: int, to_us: int, through_us: int, now_us: int) -> int:
        """Land what started in [from, to); the number of traces that were not known."""
        step = self._intake.step
        before = step.landed - step.amended
        for infos in self._reader.listed(one.id, from_us - 1000, to_us - 1000, by="timestamp_ms"):
            wanted = [info for info in infos if end_us(info) > one.backlog.low_us]
            self._intake.land(one, wanted, through_us, now_us)
        return step.landed - step.amended - before

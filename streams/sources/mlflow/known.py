"""What landing knows already: ids with their light hash, and how far each experiment's slices have come.

Both are read back from the store at start, so that a killed process goes on where its last commits left it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from rules.units import DAY_US, MINUTE_US
from store import Table
from streams.sources.mlflow.rows import light_hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = [
    "trace_id",
    "state",
    "request_time",
    "execution_duration_ms",
    "tags",
    "trace_metadata",
    "assessments",
]


@dataclass
class Cursor:
    """Slices and backlog cover all ends in ``(low, high]``, µs."""

    low_us: int
    high_us: int


class Known:
    """Trace ids that are in ``traces``, with the hashes of the contents that were seen for each."""

    def __init__(self) -> None:
        self._hashes: dict[str, tuple[int, ...] | None] = {}
        self._spanless: set[str] = set()
        self._minutes: Counter[tuple[str, int]] = Counter()

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._hashes

    def same(self, trace_id: str, row: Mapping[str, Any]) -> bool:
        """True if the trace is in and does not differ from what landed; of old ones only the id is known."""
        if trace_id not in self._hashes:
            return False
        hashes = self._hashes[trace_id]
        return hashes is None or light_hash(row) in hashes

    def started_in(self, experiment: str, from_us: int, size_us: int) -> int:
        """How many of the experiment's traces started in [from, from + size), both whole minutes."""
        return sum(
            self._minutes[(experiment, minute)] for minute in range(from_us, from_us + size_us, MINUTE_US)
        )

    def awaits_spans(self, trace_id: str) -> bool:
        """True if the trace landed without spans, which may still come."""
        return trace_id in self._spanless

    def update(self, other: Known) -> None:
        """Note all that another knows, of other experiments."""
        self._hashes |= other._hashes
        self._spanless |= other._spanless
        self._minutes += other._minutes

    def add(self, row: Mapping[str, Any], listed: Mapping[str, Any] | None = None) -> None:
        """Note a row that has landed, and what the listing showed for it (it may have been a moment
        older).
        """
        hashes = {light_hash(row)} | ({light_hash(listed)} if listed is not None else set())
        self.note(
            row["trace_id"],
            row["experiment_id"],
            _us(row["request_time"]),
            tuple(hashes),
            spanless=not row["spans"],
        )

    def note(
        self,
        trace_id: str,
        experiment: str,
        start_us: int,
        hashes: tuple[int, ...] | None,
        *,
        spanless: bool = False,
    ) -> None:
        """Note an id; ``hashes`` None: too old to compare."""
        if trace_id not in self._hashes:
            self._minutes[(experiment, start_us - start_us % MINUTE_US)] += 1
        self._hashes[trace_id] = hashes
        (self._spanless.add if spanless else self._spanless.discard)(trace_id)


def read_known(traces: Table, experiments: Collection[str], amend_since_us: int) -> Known:
    """What the table holds of those experiments; contents of what started before ``amend_since_us`` are not
    compared any more.
    """
    known = Known()
    recent = pl.from_epoch(pl.lit(amend_since_us - DAY_US), "us").dt.replace_time_zone("UTC")
    wanted = pl.col("experiment_id").is_in(list(experiments))
    frame = traces.read(["trace_id", "experiment_id", "request_time", "landed_us"], where=wanted)
    hashes: dict[str, int] = {}
    spanless: dict[str, bool] = {}
    shown = traces.read([*_SHOWN, "spans", "landed_us"], where=wanted & (pl.col("request_time") >= recent))
    shown = shown.with_columns(pl.col("spans").list.len().fill_null(0).alias("spans"))
    for row in shown.sort("landed_us").drop("landed_us").iter_rows(named=True):
        hashes[row["trace_id"]] = light_hash(row)
        spanless[row["trace_id"]] = row["spans"] == 0
    for trace_id, experiment, start, _ in frame.sort("landed_us").iter_rows():
        found = hashes.get(trace_id)
        bare = spanless.get(trace_id, False)
        known.note(trace_id, experiment, _us(start), None if found is None else (found,), spanless=bare)
    return known


def read_cursors(landing: Table) -> dict[str, Cursor]:
    """How far slices and backlog have come, by experiment id."""
    rows = landing.read(["experiment_id", "kind", "from_us", "to_us"])
    return {
        experiment: Cursor(low, high)
        for experiment, low, high in rows.filter(pl.col("kind").is_in(["slice", "backlog"]))
        .group_by("experiment_id")
        .agg(pl.col("from_us").min(), pl.col("to_us").max())
        .iter_rows()
    }


def _us(moment: datetime | None) -> int:
    """A start, µs; 0 for one that is no date."""
    return 0 if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)

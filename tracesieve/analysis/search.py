"""Searching a range of time: the traces that a condition matches, with what a person wants to see of each,
and always which experiments were looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from rules.dialect import Condition
from store.content import TraceTable
from store.final_through import stored_final_through_us
from store.store import Store
from tracesieve.analysis.experiments import Experiment
from tracesieve.analysis.selection import Selection, select
from tracesieve.json_output import iso

_MOST = 200  # characters of a request


@dataclass(frozen=True)
class Search:
    """What to look for, and where: experiments, and the traces that ended in [from, to), µs."""

    condition: Condition
    experiments: Sequence[Experiment]
    from_us: int
    to_us: int

    def selected(self, store: Store, table: TraceTable, now_us: int) -> Selection:
        """The traces.

        Raises:
            StoreError: the trace table cannot be read.
        """
        among = pl.any_horizontal([one.of() for one in self.experiments] or [pl.lit(False)])
        return select(store, table, self.condition, self.from_us, self.to_us, now_us, among)


def document(
    search: Search, found: Selection, store: Store, table: TraceTable, most: int | None
) -> dict[str, Any]:
    """The document of ``search --json``: the newest ``most`` traces (None: all; 0: none, only their number).

    Raises:
        StoreError: the trace table cannot be read.
    """
    newest = found.facts.sort("end_us", "trace_id", descending=[True, False])
    listed = newest if most is None else newest.head(most)
    requests = _requests(table, listed) if listed.height else {}
    return {
        "from": iso(search.from_us),
        "to": iso(search.to_us),
        "condition": search.condition.text,
        "searched": found.searched,
        "matched": found.facts.height,
        "content_gone": found.gone,
        "final_through": iso(stored_final_through_us(store)),
        "experiments": counted_experiments(search.experiments, found),
        "traces": [_trace(row, requests) for row in listed.iter_rows(named=True)],
    }


def counted_experiments(experiments: Sequence[Experiment], found: Selection) -> list[dict[str, Any]]:
    """Where traces were looked for: ``id``, ``name``, ``watched``, ``traces``, ``matched``."""
    return [_counted(one, found.experiments) for one in experiments]


def _counted(one: Experiment, counts: pl.DataFrame) -> dict[str, Any]:
    mine = counts.filter(one.of())
    return {
        "id": one.id or None,
        "name": one.name or None,
        "watched": one.watched,
        "traces": int(mine["traces"].sum()),
        "matched": int(mine["matches"].sum()),
    }


def _trace(row: dict[str, Any], requests: dict[str, str | None]) -> dict[str, Any]:
    return {
        "trace_id": row["trace_id"],
        "experiment_id": row["experiment_id"],
        "experiment": row["experiment"],
        "starts": iso(row["start_us"]),
        "ends": iso(row["end_us"]),
        "group": dict(zip(row["group_by"] or [], row["group"] or [], strict=False)),
        "state": row["state"],
        "duration_ms": None if row["duration_us"] is None else row["duration_us"] / 1000,
        "request": requests.get(row["trace_id"]),
    }


def _requests(table: TraceTable, facts: pl.DataFrame) -> dict[str, str | None]:
    """The beginning of the request of each trace, by id; what is gone is left out."""

    def beginnings(rows: pa.Table) -> pl.DataFrame:
        texts = rows["request"] if "request" in rows.column_names else pa.nulls(rows.num_rows, pa.string())
        frame = pl.DataFrame({"trace_id": rows["trace_id"], "request": texts})
        return frame.select("trace_id", pl.col("request").cast(pl.String).str.slice(0, _MOST))

    pieces = table.each(facts.select("trace_id", "start_us"), ["request"], beginnings)
    return dict(row for piece in pieces for row in piece.iter_rows())

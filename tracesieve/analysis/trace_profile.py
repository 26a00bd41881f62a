"""Profiles of single traces: the same numbers as for a range, and the spans as a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from rules.breakdown import Spans, breakdown_columns, entries, read_spans, totals
from rules.matcher import raw_table
from rules.matcher.batch import Batch
from store.store import Store, net_facts
from tracesieve.analysis.profile import numbers
from tracesieve.errors import AnswerIsNoError

RowOf = Callable[[str, int | None], pa.Table | None]


@dataclass(frozen=True)
class TraceProfile:
    """The document of one trace, and its spans."""

    document: dict[str, Any]
    spans: Spans


def profile_traces(store: Store, trace_ids: Sequence[str], row_of: RowOf) -> list[TraceProfile]:
    """The profiles of some traces, as the trace table holds them now.

    ``row_of`` finds a trace by its id and, if known, its start (µs), as a table of one row; None: it is gone.

    Raises:
        AnswerIsNoError: some of them are neither in the store nor in the source.
        StoreError: the trace table cannot be read.
    """
    columns = ["batch_id", "weight", "trace_id", "content_hash", "arrived_us", "start_us"]
    wanted = pl.col("trace_id").is_in(list(trace_ids))
    facts = net_facts(store.table("facts").read(columns, wanted))
    starts = dict(facts.select("trace_id", "start_us").iter_rows())
    rows = {trace_id: row_of(trace_id, starts.get(trace_id)) for trace_id in dict.fromkeys(trace_ids)}
    gone = [trace_id for trace_id, row in rows.items() if row is None]
    if gone:
        raise AnswerIsNoError(
            "\n".join(f"there is no trace {trace_id} in the store or its source" for trace_id in gone)
        )
    return [_profile(trace_id, row) for trace_id, row in rows.items() if row is not None]


def _profile(trace_id: str, row: pa.Table) -> TraceProfile:
    spans = read_spans(Batch(raw_table(row, breakdown_columns)))
    took = row["execution_duration_ms"][0].as_py() if "execution_duration_ms" in row.column_names else None
    state = row["state"][0].as_py() if "state" in row.column_names else None
    document = {
        "trace_id": trace_id,
        "state": state,
        "duration_ms": None if took is None else max(float(took), 0.0),
        "spans": len(spans),
        **numbers(totals(entries(spans))),
    }
    return TraceProfile(document, spans)

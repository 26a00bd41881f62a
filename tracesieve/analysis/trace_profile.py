"""Profiles of single traces: the same numbers as for a range, and the spans as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from rules.breakdown import Spans, breakdown_columns, entries, read_spans, totals
from rules.matcher import raw_table
from rules.matcher.batch import Batch
from store.content import TraceTable
from store.schemas import TRACES
from store.store import Store
from streams.sources.base import Sighting
from tracesieve.analysis.profile import numbers
from tracesieve.analysis.trace_links import trace_url
from tracesieve.analysis.whereabouts import whole_id
from tracesieve.config.trace_server import trace_server
from tracesieve.config.trace_table import trace_table
from tracesieve.errors import AnswerIsNoError

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


@dataclass(frozen=True)
class TraceProfile:
    """The document of one trace, and its spans."""

    document: dict[str, Any]
    spans: Spans


def profile_traces(settings: Settings, store: Store, texts: Sequence[str]) -> list[TraceProfile]:
    """The profiles of the traces whose ids are ``texts`` or begin so, as the trace table holds them now.

    Raises:
        AnswerIsNoError: some of them are neither in the store nor in the source, or their content is gone.
        TracesieveError: several ids begin with a text.
        StoreError, SourceError: the trace table, or the source, cannot be read.
    """
    table = trace_table(settings)
    rows: dict[str, pa.Table] = {}
    gone = []
    for text in dict.fromkeys(texts):
        found = whole_id(store, table, text, lambda one: settings.source.look_up(store, one))
        row = None if found is None else _row(store, table, *found)
        if found is None:
            gone.append(f"there is no trace {text} in the store or its source")
        elif row is None:
            gone.append(f"the content of {found[0]} is gone, its spans too")
        else:
            rows[found[0]] = row
    if gone:
        raise AnswerIsNoError("\n".join(gone))
    server = trace_server(settings)
    return [_profile(trace_id, row, server) for trace_id, row in rows.items()]


def _row(store: Store, table: TraceTable, trace_id: str, sighting: Sighting | None) -> pa.Table | None:
    if sighting is not None:
        return pa.Table.from_pylist([dict(sighting.row)], schema=TRACES)
    starts = store.table("facts").read(["start_us"], pl.col("trace_id") == trace_id)["start_us"]
    return table.row(trace_id, starts[-1] if len(starts) else None)


def _profile(trace_id: str, row: pa.Table, server: str | None) -> TraceProfile:
    spans = read_spans(Batch(raw_table(row, breakdown_columns)))
    took, state, experiment = (
        row[name][0].as_py() if name in row.column_names else None
        for name in ("execution_duration_ms", "state", "experiment_id")
    )
    document = {
        "trace_id": trace_id,
        "state": state,
        "duration_ms": None if took is None else max(float(took), 0.0),
        "spans": len(spans),
        "url": trace_url(server, experiment, trace_id),
        **numbers(totals(entries(spans))),
    }
    return TraceProfile(document, spans)

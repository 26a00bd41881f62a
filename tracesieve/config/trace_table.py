"""Where the content of traces is: the table that the query reads."""

from __future__ import annotations

from typing import Any

from store.content import TraceTable
from tracesieve.config.settings import Settings


def trace_table(settings: Settings) -> TraceTable:
    """The table that holds the traces of this config's source."""
    table = settings.source.query_table(settings.place)
    return TraceTable(table.uri, dict(table.columns))


def trace_row(settings: Settings, trace_id: str, start_us: int | None) -> Any:
    """The trace as an Arrow table of one row with our column names, None if it is gone; pruned by its start
    if known.
    """
    return trace_table(settings).row(trace_id, start_us)

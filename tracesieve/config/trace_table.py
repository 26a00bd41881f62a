"""Where the content of traces is: the table that the query reads."""

from __future__ import annotations

from store.content import TraceTable
from tracesieve.config.settings import Settings


def trace_table(settings: Settings) -> TraceTable:
    """The table that holds the traces of this config's source."""
    table = settings.source.query_table(settings.place)
    return TraceTable(table.uri, dict(table.columns))

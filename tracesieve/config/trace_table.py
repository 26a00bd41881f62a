"""Where the content of traces is kept: the store's ``traces``, or the table of a ``delta_traces`` source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store import Store
    from store.content import TraceTable
    from tracesieve.config.settings import Settings


def trace_table(settings: Settings, store: Store) -> TraceTable:
    """The table that holds the traces of this config's source."""
    from store.content import TraceTable
    from streams.sources import DeltaTracesSource

    source = settings.source
    if isinstance(source, DeltaTracesSource):
        return TraceTable(table_uri(settings, source), source.columns)
    return TraceTable(store.table("traces").uri)


def trace_row(settings: Settings, store: Store, trace_id: str, start_us: int | None) -> Any:
    """The trace as an Arrow table of one row with our column names, None if it is gone; pruned by its start
    if known.
    """
    return trace_table(settings, store).row(trace_id, start_us)


def table_uri(settings: Settings, source: Any) -> str:
    """Where the table of a ``delta_traces`` source is; a relative path is relative to the config file."""
    return source.table if "://" in source.table else str((Path(settings.base_dir) / source.table).resolve())

"""One trace's content, which facts lack, from wherever it is kept: the store's ``traces``, or the Delta source itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store import Store
    from tracesieve.settings import Settings

SLACK = timedelta(hours=1)


def trace_row(settings: Settings, store: Store, trace_id: str, start_us: int | None) -> Any:
    """The trace as an Arrow table of one row with our column names, None if it is gone; pruned by its start if known."""
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    from streams.sources import DeltaTracesSource

    source = settings.source
    columns: dict[str, str] = {}
    if isinstance(source, DeltaTracesSource):
        columns = source.columns
        table: Any = DeltaTable(table_uri(settings, source))
    else:
        table = store.table("traces").delta()
    if table is None:
        return None
    wanted = pc.field(columns.get("trace_id", "trace_id")) == trace_id
    if start_us is not None:
        start = datetime.fromtimestamp(start_us // 1_000_000, UTC)
        name = columns.get("request_time", "request_time")
        wanted = wanted & (pc.field(name) >= start - SLACK) & (pc.field(name) <= start + SLACK)
    rows = table.to_pyarrow_dataset().to_table(filter=wanted)
    if not rows.num_rows:
        return None
    back = {theirs: ours for ours, theirs in columns.items()}
    rows = rows.rename_columns([back.get(name, name) for name in rows.column_names])
    if "landed_us" in rows.column_names:
        rows = rows.sort_by("landed_us")
    return rows.slice(rows.num_rows - 1)


def table_uri(settings: Settings, source: Any) -> str:
    """Where the table of a ``delta_traces`` source is; a relative path is relative to the config file."""
    return source.table if "://" in source.table else str((Path(settings.base_dir) / source.table).resolve())

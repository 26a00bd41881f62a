"""1 → 2: the log of ``traces`` was kept for 30 days; now for as long as the stream has not read it."""

from __future__ import annotations

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from store.table import STREAMED


def upgrade(path: str, options: dict[str, str] | None) -> None:
    """Change the properties of the table of traces; one that has them is not written."""
    try:
        table = DeltaTable(f"{path.rstrip('/')}/traces", storage_options=options)
    except TableNotFoundError:
        return
    if any(table.metadata().configuration.get(key) != value for key, value in STREAMED.items()):
        table.alter.set_table_properties(STREAMED)

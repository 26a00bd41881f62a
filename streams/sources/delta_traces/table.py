"""A Delta table of traces as what the query reads.

It is read with ``ignoreChanges``, so that MERGE, UPDATE and OPTIMIZE are survived: what they rewrite comes
again and is a duplicate or an amendment.  What would fail later, or silently count wrong, is refused before
anything starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from streams.delta_log import Arrivals, arrivals
from streams.errors import SourceError
from streams.sources.base import QueryTable
from streams.sources.delta_traces.columns import problems

_DOTTED = re.compile(r"\w+(\.\w+){1,2}")
_CATALOG_NAME = (
    " (a table of a catalog is named by its location, see `DESCRIBE DETAIL`; a view has none, and cannot be "
    "streamed: name its base tables, see `SHOW CREATE TABLE`)"
)


@dataclass(frozen=True)
class DeltaTracesTable(QueryTable):
    """A table that others write, one row a trace."""

    @property
    def label(self) -> str:
        """The key of the config, and the table."""
        return f"source.table: {self.uri}"

    def check(self, checkpoint: str, counted_through_us: int | None = None) -> None:
        """See what can be seen without Spark.

        Raises:
            SourceError: it is not a Delta table (a view has none); columns are missing or of the wrong type,
                all
                of them named; it is not the table that the checkpoint has read, or versions of it are gone.
        """
        found = problems(schema_of(self.uri), dict(self.columns))
        if found:
            raise SourceError(f"{self.label}: " + "; ".join(found))
        super().check(checkpoint, counted_through_us)

    def arrivals(self, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
        """When the files were committed, by the table's log."""
        return arrivals(self.uri, checkpoint, batch_id, files)

    def needed_version(self, checkpoint: str) -> int | None:
        """None: nothing of the store's table ``traces`` is known to be needless."""
        return None


def schema_of(table: str) -> Any:
    """The table's Arrow schema.

    Raises:
        SourceError: it is not a Delta table.
    """
    if "://" not in table and not Path(table).exists():
        hint = _CATALOG_NAME if _DOTTED.fullmatch(Path(table).name) else ""
        raise SourceError(f"source.table: {table} does not exist{hint}")
    try:
        return pa.schema(DeltaTable(table).schema().to_arrow())
    except TableNotFoundError as error:
        hint = "a view cannot be streamed: name its base tables"
        raise SourceError(f"source.table: {table} is not a Delta table ({hint})") from error

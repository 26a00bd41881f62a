"""Why streaming queries ended: a typed row from the batch that ended its query.

A batch runs inside Spark, maybe in another process, and an exception that crosses Spark is only text.  So the
batch writes a row of the table ``query_ends`` before it raises, and whoever started the query reads that row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import polars as pl

from store.store import Store

RULES_CHANGED: Final = "rules_changed"  # the query starts anew with the rules in force
FAILED: Final = "failed"


@dataclass(frozen=True)
class QueryEnd:
    """The end of one start of a query; ``message`` is one line, ``error`` the name of the error's class."""

    query_id: str
    stream_id: str
    batch_id: int
    reason: str
    error: str
    exit_code: int
    message: str
    at_us: int


class QueryEnds:
    """Writes and reads the ends of queries of one store."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("query_ends")

    def put(self, end: QueryEnd) -> None:
        """Write one end.

        Raises:
            StoreUnwritable: the place cannot be written.
        """
        self._table.append([asdict(end)])

    def of(self, query_id: str) -> QueryEnd | None:
        """Why the query of that id ended, None where no batch of it noted an end."""
        rows = self._table.read(where=pl.col("query_id") == query_id).sort("at_us", maintain_order=True)
        return QueryEnd(**rows.row(-1, named=True)) if rows.height else None

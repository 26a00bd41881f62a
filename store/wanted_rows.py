"""Which rows of a table of traces are looked up, and the lookup by Polars' own scan.

Polars reads tables that ask nothing of their readers, such as the store's own, and is the faster there; for
the others see ``store.data_files``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from deltalake import DeltaTable


@dataclass(frozen=True)
class Wanted:
    """Rows to look up: those whose column ``id_column`` is one of ``ids`` (none: has a value), and
    ``time_column`` within [``low``, ``high``]; without bounds: at any time. Bounds are UTC, without a zone.
    """

    id_column: str
    ids: Sequence[str]
    time_column: str
    low: datetime | None = None
    high: datetime | None = None


def asks_nothing_of_readers(table: DeltaTable) -> bool:
    """Whether the table's protocol has no feature that a reader must know."""
    return bool(table.protocol().min_reader_version == 1)


def scanned(table: DeltaTable, wanted: Wanted, columns: Mapping[str, str]) -> pl.DataFrame:
    """The rows of such a table, with columns by the names that they are to have."""
    frame = pl.scan_delta(table, use_pyarrow=False)
    found = pl.col(wanted.id_column).is_in(wanted.ids)
    if wanted.low is not None and wanted.high is not None:
        zoned = getattr(frame.collect_schema()[wanted.time_column], "time_zone", None) is not None
        low, high = (one.replace(tzinfo=UTC if zoned else None) for one in (wanted.low, wanted.high))
        found &= pl.col(wanted.time_column).is_between(low, high)
    return (
        frame.filter(found).select(pl.col(theirs).alias(ours) for ours, theirs in columns.items()).collect()
    )

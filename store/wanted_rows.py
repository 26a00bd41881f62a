"""Which rows of a table of traces are looked up, and the lookup by Polars' own scan.

Polars reads tables that ask nothing of their readers, such as the store's own, and is the faster there; for
the others see ``store.data_files``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

_SECOND_US = 1_000_000


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

    def found(self, rows: pa.Table) -> pa.Array:
        """Whether each row, of which both columns are given, is wanted; null where its time is not known."""
        texts = rows[self.id_column].cast(pa.string()).combine_chunks()
        if not self.ids:
            return texts.is_valid()
        among = pc.is_in(texts, value_set=pa.array(self.ids, pa.string()))
        if self.low is None or self.high is None:
            return among
        times = rows[self.time_column].cast(pa.timestamp("us")).combine_chunks()
        low, high = (pa.scalar(one, pa.timestamp("us")) for one in (self.low, self.high))
        return pc.and_(among, pc.and_(pc.greater_equal(times, low), pc.less_equal(times, high)))


@dataclass(frozen=True)
class WantedStarts(Wanted):
    """Many traces at once: ``starts_us`` are the starts of ``ids``, both sorted by it, so that rows are
    compared with the ids of their own time alone.
    """

    starts_us: npt.NDArray[np.int64] | None = None

    def found(self, rows: pa.Table) -> pa.Array:
        """As :meth:`Wanted.found`; a row may begin a second beside the start that is given."""
        if self.starts_us is None:
            return super().found(rows)
        times = pc.min_max(rows[self.time_column].cast(pa.timestamp("us")).cast(pa.int64())).as_py()
        texts = rows[self.id_column].cast(pa.string()).combine_chunks()
        if times["min"] is None:
            return pa.array(np.zeros(len(texts), dtype=bool))
        first = int(np.searchsorted(self.starts_us, times["min"] - _SECOND_US, "left"))
        last = int(np.searchsorted(self.starts_us, times["max"] + _SECOND_US, "right"))
        return pc.is_in(texts, value_set=pa.array(self.ids[first:last], pa.string()))


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

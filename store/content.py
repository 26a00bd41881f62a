"""What facts lack of a trace, from wherever the trace table is: the store's ``traces``, or the Delta source itself.

Rows are found by trace id and start, files pruned by the start's day (SEMANTICS 20); an id with several rows gives the
one that landed last, or ended last where the table does not say when a row landed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from store.errors import StoreError

SLACK = timedelta(days=1)
_ORDER = ("request_time", "execution_duration_ms", "landed_us")


class TraceTable:
    """A Delta table of traces; ``columns`` maps our column names to the table's."""

    def __init__(self, uri: str, columns: Mapping[str, str] | None = None) -> None:
        self._uri = uri
        self._theirs = dict(columns or {})
        self._handle: DeltaTable | None = None

    def row(self, trace_id: str, start_us: int | None) -> Any:
        """The trace as an Arrow table of one row with our column names, None if it is gone."""
        rows = self._read([trace_id], None if start_us is None else (start_us, start_us), None)
        return None if rows is None or not rows.num_rows else rows.slice(rows.num_rows - 1)

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response of traces by id, given the start of each; those that are gone are left out.

        Raises:
            StoreError: the table cannot be read.
        """
        if not starts_us:
            return {}
        rows = self._read(list(starts_us), (min(starts_us.values()), max(starts_us.values())), ("request", "response"))
        if rows is None:
            return {}
        columns = [rows.column(name).to_pylist() for name in ("trace_id", "request_time", "request", "response")]
        slack_us = SLACK // timedelta(microseconds=1)
        return {
            trace_id: (request, response)
            for trace_id, start, request, response in zip(*columns, strict=True)
            if start is not None and abs(_us(start) - starts_us[trace_id]) <= slack_us
        }

    def _read(self, ids: Sequence[str], between_us: tuple[int, int] | None, names: Sequence[str] | None) -> Any:
        """The rows of those ids, last landed last."""
        try:
            table = self._open()
            if table is None:
                return None
            dataset = table.to_pyarrow_dataset()
            wanted = pc.field(self._their("trace_id")).isin(pa.array(ids, dataset.schema.field(self._their("trace_id")).type))
            if between_us is not None:
                low, high = (datetime.fromtimestamp(one // 1_000_000, UTC) for one in between_us)
                when = pc.field(self._their("request_time"))
                kind = dataset.schema.field(self._their("request_time")).type
                wanted = (
                    wanted
                    & (when >= pa.scalar(_naive(low - SLACK, kind), kind))
                    & (when <= pa.scalar(_naive(high + SLACK, kind), kind))
                )
            present = None
            if names is not None:
                present = [
                    self._their(name) for name in ("trace_id", *_ORDER, *names) if self._their(name) in dataset.schema.names
                ]
            rows = dataset.to_table(filter=wanted, columns=present)
        except (DeltaError, OSError) as error:
            raise StoreError(f"{self._uri} cannot be read: {error}") from error
        back = {theirs: ours for ours, theirs in self._theirs.items()}
        rows = rows.rename_columns([back.get(name, name) for name in rows.column_names])
        for name in names or ():
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
        return rows.take(pa.array(_order(rows), pa.int64()))

    def _their(self, name: str) -> str:
        return self._theirs.get(name, name)

    def _open(self) -> DeltaTable | None:
        if self._handle is None:
            try:
                self._handle = DeltaTable(self._uri)
            except TableNotFoundError:
                return None
        else:
            self._handle.update_incremental()
        return self._handle


def _order(rows: Any) -> list[int]:
    """Row numbers, the row that stands last: by when it landed, else by its end."""
    if "landed_us" in rows.column_names:
        landed = rows.column("landed_us").to_pylist()
        return sorted(range(rows.num_rows), key=lambda i: landed[i] or 0)
    starts = rows.column("request_time").to_pylist()
    missing = [None] * rows.num_rows
    took = rows.column("execution_duration_ms").to_pylist() if "execution_duration_ms" in rows.column_names else missing
    ends = [(_us(start) if start is not None else 0) + int(float(ms or 0) * 1000) for start, ms in zip(starts, took, strict=True)]
    return sorted(range(rows.num_rows), key=lambda i: ends[i])


def _us(moment: datetime) -> int:
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _naive(moment: datetime, kind: Any) -> datetime:
    """The moment as the column has it: with a time zone or, as ``timestamp_ntz``, without."""
    return moment if kind.tz is not None else moment.replace(tzinfo=None)

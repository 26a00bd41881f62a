"""What facts do not hold of a trace, from the trace table: the store's ``traces``, or the Delta source
itself.

Rows are found by trace id and start, files pruned by the start's day (SEMANTICS 20); an id with several rows
gives the one that landed last, or ended last where the table does not say when a row landed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from rules.units import SECOND_US, utc
from store.errors import StoreError
from store.schemas import LOCATED, LOCATION, TRACES
from store.table import RENEW
from store.trace_columns import kinds_of, statuses
from store.trace_labels import labels_of
from store.wanted_rows import Wanted, WantedStarts, asks_nothing_of_readers, scanned

if TYPE_CHECKING:
    from store.data_files import DataFiles

SLACK = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_Made = TypeVar("_Made")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_CONTENT = ("trace_id", "request_time", "execution_duration_ms", "landed_us", "request", "response")


class TraceTable:
    """A Delta table of traces; ``columns`` maps our column names to the table's. Use it from one thread."""

    def __init__(self, uri: str, columns: Mapping[str, str] | None = None) -> None:
        self._uri = uri
        self._theirs = dict(columns or {})
        self._handle: DeltaTable | None = None
        self._opened_at = 0
        self._files: DataFiles | None = None

    def row(self, trace_id: str, start_us: int | None) -> Any:
        """The trace as an Arrow table of one row with our column names, None if it is gone.

        Raises:
            StoreError: the table cannot be read.
        """
        rows = self._rows({trace_id: start_us}, None)
        if rows is None or rows.is_empty():
            return None
        one = rows.tail(1).to_arrow(compat_level=pl.CompatLevel.oldest())
        found = {name: _ours(name, one.column(name)) for name in one.column_names}
        return pa.table(_placed(found))

    def ids(self, beginning: str, most: int) -> list[str]:
        """At most ``most`` ids of traces that begin so, sorted.

        Raises:
            StoreError: the table cannot be read.
        """
        try:
            table = self._open()
            if table is None:
                return []
            name = self._theirs.get("trace_id", "trace_id")
            if asks_nothing_of_readers(table):
                column = pl.scan_delta(table, use_pyarrow=False).select(pl.col(name).alias("trace_id"))
            else:
                column = pl.LazyFrame({"trace_id": self._data_files(table).column(name)})
            begins = pl.col("trace_id").cast(pl.String).str.starts_with(beginning)
            found = column.filter(begins).unique().sort("trace_id")
            return [str(one) for one in found.head(most).collect()["trace_id"]]
        except (DeltaError, OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise StoreError(f"{self._uri} cannot be read: {error}") from error

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response of traces by id, given the start of each; those that are gone are left out.

        Raises:
            StoreError: the table cannot be read.
        """
        rows = self._rows(starts_us, _CONTENT)
        if rows is None:
            return {}
        slack_us = SLACK // timedelta(microseconds=1)
        found = rows.select("trace_id", pl.col("request_time").dt.epoch("us"), "request", "response")
        return {
            trace_id: (request, response)
            for trace_id, start_us, request, response in found.iter_rows()
            if start_us is not None and abs(start_us - starts_us[trace_id]) <= slack_us
        }

    def labels(self, starts_us: Mapping[str, int]) -> dict[str, dict[str, str]]:
        """Tags and metadata of traces by id, as ``tags.KEY`` and ``metadata.KEY``; what is gone is left out.

        Raises:
            StoreError: the table cannot be read.
        """
        rows = self._rows(starts_us, (*_CONTENT[:4], "tags", "trace_metadata"))
        return labels_of(rows) if rows is not None else {}

    def each(
        self, starts_us: pl.DataFrame, raw: Collection[str], work: Callable[[pa.Table], _Made]
    ) -> list[_Made]:
        """What ``work`` makes of the rows of traces, some at a time, in the order in which they were written.

        ``starts_us`` has ``trace_id`` and ``start_us``, ``raw`` are raw columns
        (:mod:`rules.matcher.columns`). ``work`` is given tables in the shape of ``store.schemas.TRACES`` with
        what these need and, as far as the table has them, ``trace_id``, ``request_time``, ``state``,
        ``execution_duration_ms`` and ``landed_us``. It runs in several threads.

        Raises:
            StoreError: the table cannot be read.
        """
        if starts_us.is_empty():
            return []
        try:
            table = self._open()
            if table is None:
                return []
            names, files = self._names(table), self._data_files(table)
            kinds = kinds_of(raw, names, files.schema)
            ordered = starts_us.select("trace_id", "start_us").sort("start_us")
            low, high = _around(ordered["start_us"].to_list()[:: max(ordered.height - 1, 1)], _SECOND)
            wanted = WantedStarts(
                names["trace_id"],
                ordered["trace_id"].to_list(),
                names["request_time"],
                low,
                high,
                ordered["start_us"].to_numpy(),
            )
            theirs = {names[name]: kind for name, kind in kinds.items()}
            return files.each(wanted, theirs, lambda rows: work(_with_places(rows, names, kinds)))
        except (DeltaError, OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise StoreError(f"{self._uri} cannot be read: {error}") from error

    def requests(self, starts_us: Mapping[str, int], most: int = 500) -> dict[str, str | None]:
        """The beginning of the request by trace id; what is gone is left out.

        It costs a twentieth of :meth:`samples`, which reads spans.

        Raises:
            StoreError: the table cannot be read.
        """
        rows = self._rows(starts_us, tuple(name for name in _CONTENT if name != "response"))
        if rows is None:
            return {}
        return {
            one: (text or "")[:most] or None for one, text in rows.select("trace_id", "request").iter_rows()
        }

    def samples(
        self, starts_us: Mapping[str, int], most: int = 500
    ) -> dict[str, tuple[str | None, str | None]]:
        """The beginning of the request, and of the first message of a failed span, by trace id; what is gone
        is left out.

        Raises:
            StoreError: the table cannot be read.
        """
        rows = self._rows(starts_us, (*_CONTENT, "spans"))
        found: dict[str, tuple[str | None, str | None]] = {}
        if rows is None:
            return found
        wanted = rows.select("trace_id", "request", statuses(rows.schema).alias("spans"))
        for row in wanted.iter_rows(named=True):
            spans = [span for span in row["spans"] or [] if span and span.get("status_message")]
            failed = [
                span for span in spans if "ERROR" in str(span.get("status_code") or "").upper()
            ] or spans
            request = (row["request"] or "")[:most] or None
            found[row["trace_id"]] = request, failed[0]["status_message"][:most] if failed else None
        return found

    def _rows(
        self, starts_us: Mapping[str, int] | Mapping[str, int | None], columns: Sequence[str] | None
    ) -> pl.DataFrame | None:
        """The rows of those traces under our names, what stands last; None where none is asked for or there
        is no table.

        They have those of ``columns`` that the table has, request and response always; None: all columns.
        """
        if not starts_us:
            return None
        try:
            table = self._open()
            return None if table is None else self._read(table, starts_us, columns)
        except (DeltaError, OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise StoreError(f"{self._uri} cannot be read: {error}") from error

    def _read(
        self, table: DeltaTable, starts_us: Mapping[str, Any], columns: Sequence[str] | None
    ) -> pl.DataFrame:
        names = self._names(table)
        picked = {name: names[name] for name in names if columns is None or name in columns}
        low, high = (None, None) if None in starts_us.values() else _around(starts_us.values())
        wanted = Wanted(names["trace_id"], list(starts_us), names["request_time"], low, high)
        if asks_nothing_of_readers(table):
            frame = scanned(table, wanted, picked)
        else:
            rows = self._data_files(table).rows(wanted, list(dict.fromkeys(picked.values())))
            frame = pl.DataFrame({ours: rows[theirs] for ours, theirs in picked.items()})
        if columns is not None:
            absent = [name for name in ("request", "response") if name not in picked]
            frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        return _last_standing(frame)

    def _names(self, table: DeltaTable) -> dict[str, str]:
        """The table's columns by our names."""
        there = [field.name for field in table.schema().fields]
        # Where the config takes a name from another column, the column that has this name itself is not used.
        names = {name: name for name in there if name not in {*self._theirs, *self._theirs.values()}}
        names |= {ours: theirs for ours, theirs in self._theirs.items() if theirs in there}
        if lacking := [name for name in ("trace_id", "request_time") if name not in names]:
            raise StoreError(f"{self._uri} has no column {', '.join(lacking)}")
        return names

    def _data_files(self, table: DeltaTable) -> DataFiles:
        from store.data_files import DataFiles  # it loads what most commands do without

        if self._files is None or self._files.version != table.version():
            self._files = DataFiles(table)
        return self._files

    def _open(self) -> DeltaTable | None:
        if self._handle is None or self._handle.version() - self._opened_at >= RENEW:
            try:
                self._handle = DeltaTable(self._uri)
            except TableNotFoundError:
                return None
            self._opened_at = self._handle.version()
        else:
            self._handle.update_incremental()
        return self._handle


def _with_places(rows: pa.Table, names: Mapping[str, str], kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows by our names; a table may say in one column what we have in two."""
    return pa.table(_placed({name: _ours(name, rows[names[name]]) for name in kinds}))


def _placed(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, and those that ``trace_location`` says where the table lacks them."""
    if LOCATION not in columns:
        return columns
    places = columns[LOCATION].to_pylist()
    found = {name: [located(place, name) for place in places] for name in LOCATED if name not in columns}
    return columns | {name: pa.array(values, pa.string()) for name, values in found.items()}


def _around(starts_us: Collection[int], slack: timedelta = SLACK) -> tuple[datetime, datetime]:
    """The first and the last of the times, with slack, UTC without a zone."""
    low, high = _moved(min(starts_us), -slack), _moved(max(starts_us), slack + timedelta(seconds=1))
    return low.replace(tzinfo=None), high.replace(tzinfo=None)


def located(place: object, name: str) -> str | None:
    """What a trace's ``trace_location``, a struct or JSON, says of one of :data:`store.schemas.LOCATED`."""
    if isinstance(place, str):
        with suppress(ValueError, RecursionError):
            place = json.loads(place)
    for one in LOCATED[name]:
        place = place.get(one) if isinstance(place, Mapping) else None
    return None if place is None or isinstance(place, Mapping | list) else str(place)


def _moved(time_us: int, by: timedelta) -> datetime:
    """The time moved, or the first or last there is."""
    try:
        return utc(time_us // SECOND_US * SECOND_US) + by
    except OverflowError:
        return _FIRST if by < timedelta(0) else _LAST


def _ours(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in our own type (Polars has large strings and lists); in the one it has where it does not
    fit.
    """
    with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, KeyError):
        return column.cast(TRACES.field(name).type)
    return column


def _last_standing(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, what stands last: by when it landed, else by its end."""
    if "landed_us" in rows.columns:
        return rows.sort("landed_us", maintain_order=True, nulls_last=False)
    known = "execution_duration_ms" in rows.columns
    took_ms = pl.col("execution_duration_ms").cast(pl.Float64).fill_null(0.0) if known else pl.lit(0.0)
    end = pl.col("request_time").dt.epoch("us") + (took_ms * 1000).cast(pl.Int64, strict=False).fill_null(0)
    return rows.sort(end, maintain_order=True, nulls_last=False)

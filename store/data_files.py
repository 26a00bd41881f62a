"""Rows of a Delta table that others write, from its data files as its log lists them.

Polars' and delta-rs's own scans refuse tables with features that change little for who looks up a few rows:
column mapping, type widening, checkpoints of another form.  delta-rs reads the log of all of them, and gives
the deletion vectors.  So files are opened here, and columns are found in them by the names (or ids) that the
table's schema gives them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from store.files import file_system
from store.leaves import leaf_paths, without_views
from store.mapped_columns import ColumnNames
from store.wanted_rows import Wanted

_LOG = logging.getLogger(__name__)
_THREADS = 4
_ROWS = 1_000  # decoded at once: rows may hold megabytes of text
_BUFFER_BYTES = 1 << 20
_PIECE_BYTES, _FEWEST_ROWS, _MOST_ROWS = 8 << 20, 16, 16_384  # of rows that are looked through
_File = Mapping[str, Any]  # of the table's log
_Made = TypeVar("_Made")


class DataFiles:
    """The data files of one version of a table; use it from one thread."""

    def __init__(self, delta: DeltaTable) -> None:
        self.version: int = delta.version()
        self.schema: pa.Schema = pa.schema(delta.schema().to_arrow())
        metadata = delta.metadata()
        mapping = metadata.configuration.get("delta.columnMapping.mode", "none")
        by_id, self._mapped = mapping == "id", mapping != "none"
        self._names = ColumnNames(json.loads(delta.schema().to_json())["fields"], by_id=by_id)
        self._partitions = frozenset(metadata.partition_columns)
        self._uri = delta.table_uri
        actions = pl.DataFrame(pa.table(delta.get_add_actions(flatten=True)))
        self._files = actions.sort("modification_time", maintain_order=True)
        self._kept = _kept_rows(delta)

    def rows(self, wanted: Wanted, columns: Sequence[str]) -> pa.Table:
        """Those of ``columns`` of the rows that are wanted, in the types of the table's schema; what was
        written last is last.

        Raises:
            OSError: a file cannot be read.
        """
        files = list(self._around(wanted).iter_rows(named=True))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="content") as pool:
            found = pool.map(lambda file: list(self._of_file(file, wanted, columns)), files)
            tables = [table for one in found for table in one]
        empty = pa.schema([self.schema.field(name) for name in columns]).empty_table()
        return pa.concat_tables([empty, *tables], promote_options="permissive")

    def each(
        self, wanted: Wanted, kinds: Mapping[str, pa.DataType], work: Callable[[pa.Table], _Made]
    ) -> list[_Made]:
        """What ``work`` makes of the rows that are wanted, some at a time, in the order in which they were
        written; it runs in several threads.

        It is given the columns that ``kinds`` name, in those types: a type may have some of the fields of a
        struct alone, and only these are read. Memory holds a few pieces of :data:`_PIECE_BYTES`.

        Raises:
            OSError: a file cannot be read.
        """
        files = list(self._around(wanted).iter_rows(named=True))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="content") as pool:
            found = pool.map(lambda file: [work(one) for one in self._pieces(file, wanted, kinds)], files)
            return [made for of_file in found for made in of_file]

    def column(self, name: str) -> list[str | None]:
        """A column of texts, of all rows that count.

        Raises:
            OSError: a file cannot be read.
        """
        everything = Wanted(name, (), name)
        found: list[str | None] = []
        for file in self._files.iter_rows(named=True):
            for table in self._of_file(file, everything, [name]):
                found += table[name].cast(pa.string()).to_pylist()
        return found

    def _around(self, wanted: Wanted) -> pl.DataFrame:
        """The files that may hold the times, by their statistics."""
        files, name = self._files, self._names.physical(wanted.time_column)
        if wanted.low is None or wanted.high is None:
            return files
        for stated in (f"max.{name}", f"min.{name}"):
            if isinstance(files.schema.get(stated), pl.Datetime):
                time = pl.col(stated).dt.replace_time_zone(None)
                inside = time >= wanted.low if stated.startswith("max") else time <= wanted.high
                files = files.filter(time.is_null() | inside)
        return files

    def _of_file(self, file: _File, wanted: Wanted, columns: Sequence[str]) -> Iterator[pa.Table]:
        for parquet, group, found in self._groups(file, wanted):
            yield self._columns(parquet, group, columns, file, found)

    def _groups(self, file: _File, wanted: Wanted) -> Iterator[tuple[pq.ParquetFile, int, pa.Array]]:
        """The row groups of a file that have rows which are wanted, and which of their rows are."""
        path = unquote(file["path"])
        place, _, name = path.rpartition("/") if "://" in path else (self._uri, "", path)
        looked_at = list(dict.fromkeys((wanted.id_column, wanted.time_column)))
        with file_system(place).open_input_file(name) as source:
            parquet = pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit="us")
            first, kept = 0, self._kept.get(name.rpartition("/")[2])
            for group in range(parquet.num_row_groups):
                found = wanted.found(self._columns(parquet, group, looked_at, file))
                if kept is not None:
                    found = pc.and_(found, kept[first : first + len(found)])
                first += len(found)
                if pc.any(found).as_py():
                    yield parquet, group, found

    def _pieces(self, file: _File, wanted: Wanted, kinds: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        """The rows of a file that are wanted, some at a time, with those parts of columns that ``kinds``
        have.
        """
        for parquet, group, found in self._groups(file, wanted):
            there = self._names.inside(parquet.schema_arrow)
            paths = {
                there[name]: leaf_paths(parquet, there[name], None if self._mapped else kind)
                for name, kind in kinds.items()
                if name in there
            }
            for batch in _batches(parquet, group, paths, found):
                yield pa.table(
                    [
                        self._names.fitted(name, batch[there[name]], kind)
                        if name in there
                        else self._absent(file, name, kind, batch.num_rows)
                        for name, kind in kinds.items()
                    ],
                    names=list(kinds),
                )

    def _columns(
        self,
        parquet: pq.ParquetFile,
        group: int,
        columns: Sequence[str],
        file: _File,
        found: pa.Array | None = None,
    ) -> pa.Table:
        """Columns of a row group by the table's names: of all its rows, or of those that were found."""
        there = self._names.inside(parquet.schema_arrow)
        inside = {name: there[name] for name in columns if name in there}
        number = parquet.metadata.row_group(group).num_rows if found is None else pc.sum(found).as_py()
        rows = _rows(parquet, group, list(inside.values()), found)
        made = []
        for name in columns:
            kind = self.schema.field(name).type
            if name in inside:
                made.append(self._names.fitted(name, rows[inside[name]], kind))
            else:
                made.append(self._absent(file, name, kind, number))
        return pa.table(made, names=list(columns))

    def _absent(self, file: _File, name: str, kind: pa.DataType, rows: int) -> pa.Array:
        """A column that is not in the file: its value in all rows is that of the partition, or null."""
        value = self._partition(file, name)
        return pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)

    def _partition(self, file: _File, name: str) -> Any:
        """The value that all rows of a file have, of a column that is not in the file; None: it has none."""
        if name not in self._partitions:
            return None
        return file.get(f"partition.{name}", file.get(f"partition.{self._names.physical(name)}"))


def _rows(
    parquet: pq.ParquetFile, group: int, names: list[str], found: pa.Array | None
) -> Mapping[str, pa.Array]:
    """Columns of a row group by their names in the file, some rows at a time, so that memory stays small."""
    pieces, first = [], 0
    for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=names):
        part = None if found is None else found[first : first + batch.num_rows]
        first += batch.num_rows
        if part is None or pc.any(part).as_py():
            plain = without_views(batch)
            pieces.append(pa.Table.from_batches([plain if part is None else plain.filter(part)]))
    if not pieces:
        return {}
    whole = pa.concat_tables(pieces).combine_chunks()
    return {name: pa.concat_arrays(whole[name].chunks) for name in names}


def _batches(
    parquet: pq.ParquetFile, group: int, paths: Mapping[str, Sequence[str]], found: pa.Array
) -> Iterator[Any]:
    """The rows of a row group that were found, some at a time, with those leaves of its columns."""
    if not paths:  # all columns are those of partitions, or younger than the file
        yield pa.table({"_": found.filter(found)})
        return
    first, leaves = 0, [path for one in paths.values() for path in one]
    size = _piece_rows(parquet.metadata.row_group(group), set(leaves))
    for batch in parquet.iter_batches(size, row_groups=[group], columns=leaves):
        part = found[first : first + batch.num_rows]
        first += batch.num_rows
        if pc.any(part).as_py():
            yield without_views(batch).filter(part)


def _piece_rows(group: Any, leaves: Collection[str]) -> int:
    """How many rows of a row group are decoded at once."""
    chunks = (group.column(index) for index in range(group.num_columns))
    size = sum(one.total_uncompressed_size for one in chunks if one.path_in_schema in leaves)
    fitting: int = _PIECE_BYTES * max(group.num_rows, 1) // max(size, 1)
    return max(min(fitting, _MOST_ROWS), _FEWEST_ROWS)


def _kept_rows(delta: DeltaTable) -> dict[str, pa.Array]:
    """Which rows of a file still count, by the file's name, where a deletion vector takes some away.

    delta-rs gives no vectors of a table that has type widening too. A row that was deleted there is still
    read back; of a row that was changed, the file that was written last has the present one.
    """
    if "deletionVectors" not in (delta.protocol().reader_features or []):
        return {}
    try:
        vectors = pa.table(delta.deletion_vectors())
    except DeltaError as error:
        _LOG.info("%s: deleted rows are read back too: %s", delta.table_uri, error)
        return {}
    return {
        unquote(str(path)).rpartition("/")[2]: pa.array(kept.values)
        for path, kept in zip(vectors["filepath"].to_pylist(), vectors["selection_vector"], strict=True)
    }

"""Putting other rows in the place of some files of a table, in one commit, while others append.

The commit names the files that it takes away and the ones that it adds, so an append that comes between
neither conflicts nor is touched, and a crash before the commit leaves files that nobody reads (vacuum removes
them).  Should another commit have taken one of those files away, nothing is done.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from store.files import SmallFiles, file_system
from store.table import Table

_ATTEMPTS = 10
_CHUNK_BYTES = 128 << 20  # of files rewritten in one commit
ROW_GROUP = 50_000  # rows: small enough that a look-up by start time leaves most of a file unread


def files_of(delta: DeltaTable) -> pl.DataFrame:
    """The files of the table: ``path, size_bytes, num_records``, and ``min.X``, ``max.X`` where there are
    statistics.
    """
    found = pl.DataFrame(delta.get_add_actions(flatten=True))
    return (
        found
        if found.width
        else pl.DataFrame(schema={"path": pl.String, "size_bytes": pl.Int64, "num_records": pl.Int64})
    )


def bound(files: pl.DataFrame, which: str, column: str) -> pl.Series:
    """The ``min`` or ``max`` of a column by file, null where a file has no statistics of it."""
    name = f"{which}.{column}"
    return files[name] if name in files.columns else pl.Series(name, [None] * files.height, dtype=pl.Int64)


def chunks(files: pl.DataFrame) -> list[list[str]]:
    """The paths of some files in groups of at most ``_CHUNK_BYTES``: what is in memory at once."""
    groups: list[list[str]] = []
    size = _CHUNK_BYTES
    for path, bytes_ in files.select("path", "size_bytes").iter_rows() if files.height else ():
        if size + bytes_ > _CHUNK_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += bytes_
    return groups


def read_files(
    table: Table, paths: Sequence[str], files: Any = None, without: Sequence[str] = ()
) -> pl.DataFrame:
    """The rows of some files, in the columns of the table's schema but those ``without``; a column that a
    file does not have is null.  ``files`` is the table's file system, for who reads often.

    Raises:
        FileNotFoundError: one of them is gone.
    """
    schema: Any = pa.schema([field for field in table.spec.schema if field.name not in without])
    files, tables = files or file_system(table.uri, table.storage_options), []
    for path in paths:
        columns = schema.names if without else None  # names that a file does not have are left out
        found = pq.read_table(unquote(path), columns=columns, filesystem=files)
        columns = [
            found[name].cast(kind) if name in found.column_names else pa.nulls(found.num_rows, kind)
            for name, kind in zip(schema.names, schema.types, strict=True)
        ]
        tables.append(pa.table(columns, schema=schema))
    return pl.DataFrame(pa.concat_tables(tables) if tables else schema.empty_table())


def replace(
    table: Table,
    paths: Sequence[str],
    frames: Sequence[pl.DataFrame],
    *,
    app_id: str,
    version: int,
    operation: str,
) -> bool:
    """Put the rows of ``frames`` (a file each) in the place of ``paths``; False if one of those was gone
    already.

    ``(app_id, version)`` is recorded with it as an application transaction, for the caller to compare first.

    Raises:
        OSError, DeltaError: the place cannot be written; nothing has changed.
    """
    now_ms = time.time_ns() // 1_000_000
    adds = [_add(table, frame, now_ms) for frame in frames if frame.height]
    for _ in range(_ATTEMPTS):
        delta = table.fresh()
        if delta is None:
            return False
        there = files_of(delta)
        sizes = dict(zip(there["path"], there["size_bytes"], strict=True))
        if not set(paths) <= set(sizes):
            return False
        removes = [RemoveAction(path, True, now_ms, sizes[path], {}) for path in paths]
        properties = CommitProperties(
            custom_metadata={"maintenance": operation},
            max_commit_retries=0,
            app_transactions=[Transaction(app_id, version)],
        )
        try:
            # No retries: delta-rs does not see that a compaction took the same files away, so it is looked at
            # again here.
            delta.create_write_transaction(
                [*removes, *adds], "append", delta.schema(), commit_properties=properties
            )
            return True
        except CommitFailedError:
            continue
    return False


def _add(table: Table, frame: pl.DataFrame, now_ms: int) -> AddAction:
    rows = _typed(table, frame)
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd", row_group_size=ROW_GROUP)
    name = f"part-{uuid.uuid4()}.zstd.parquet"
    SmallFiles(table.uri, table.storage_options).write_bytes(name, buffer.getvalue())
    return AddAction(name, buffer.tell(), {}, now_ms, True, json.dumps(_statistics(rows)))


def _typed(table: Table, frame: pl.DataFrame) -> pa.Table:
    schema = table.spec.schema
    return frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """Bounds of the integer columns: those by which rows are looked up and expire."""
    low, high, nulls = {}, {}, {}
    for name in rows.column_names:
        if not pa.types.is_integer(rows[name].type):
            continue
        nulls[name] = rows[name].null_count
        if nulls[name] < rows.num_rows:
            values = pl.Series(rows[name])  # not by pyarrow.compute, whose import takes 0.1 s
            low[name], high[name] = values.min(), values.max()
    return {"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}

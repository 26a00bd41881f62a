"""Writing a table anew with other columns: file by file, bounded in memory, and switched in one commit.

Each file of the table is written anew under a name that follows from its own, so that an upgrade that was cut
short finds what it had written.  Then one commit takes all old files away, adds the new ones, and changes the
table's schema.  That commit records :data:`APP_ID`; a table that has it is done.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import AddAction

from store.files import SmallFiles, file_system
from store.rewrite import ROW_GROUP, files_of
from store.table import PROPERTIES

log = logging.getLogger(__name__)
APP_ID: Final = "upgrade"  # its version: the store version that the table was converted to
_LIST = {"type": "array", "elementType": "string", "containsNull": True}
Options = dict[str, str] | None


@dataclass(frozen=True)
class Conversion:
    """What becomes of one table: its new name, columns with other names, and texts that become lists."""

    before: str
    after: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()  # columns of keys joined by commas


@dataclass(frozen=True)
class Carried:
    """What the commit that switches a table records besides: transactions, and metadata of its own."""

    transactions: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def opened(uri: str, options: Options) -> DeltaTable | None:
    """The table there, None where there is none."""
    try:
        return DeltaTable(uri, storage_options=options)
    except TableNotFoundError:
        return None


def convert(
    path: str,
    options: Options,
    one: Conversion,
    version: int,
    carried: Callable[[DeltaTable], Carried] = lambda _: Carried(),
) -> None:
    """Convert one table of the store at ``path``; nothing is done where it is done already, or absent.

    ``carried`` is asked of the table as it was.  A table that is done is not read: it may be half deleted.

    Raises:
        OSError, DeltaError: the place cannot be written; the table is as before.
    """
    after = opened(f"{path}/{one.after}", options)
    if after is not None and after.transaction_version(APP_ID) == version:
        return
    before = after if one.before == one.after else opened(f"{path}/{one.before}", options)
    if before is None:
        return
    kept = carried(before)
    schema = Schema.from_json(json.dumps(_schema(json.loads(before.schema().to_json()), one)))
    adds = list(_files(before, f"{path}/{one.after}", options, one))
    if after is None:
        uri = f"{path}/{one.after}"
        after = DeltaTable.create(
            uri, schema, mode="ignore", configuration=PROPERTIES, storage_options=options
        )
    transactions = [Transaction(name, number) for name, number in kept.transactions.items()]
    after.create_write_transaction(
        adds,
        "overwrite",
        schema,
        commit_properties=CommitProperties(
            custom_metadata=dict(kept.metadata),
            max_commit_retries=0,
            app_transactions=[*transactions, Transaction(APP_ID, version)],
        ),
    )


def _schema(schema: dict[str, Any], one: Conversion) -> dict[str, Any]:
    """A Delta schema with the new names and types."""
    fields = []
    for column in schema["fields"]:
        kind = _LIST if column["name"] in one.lists else column["type"]
        fields.append({**column, "name": one.renamed.get(column["name"], column["name"]), "type": kind})
    return {**schema, "fields": fields}


def _files(before: DeltaTable, uri: str, options: Options, one: Conversion) -> Iterator[AddAction]:
    """Write every file anew; those that an earlier attempt has written are taken as they are."""
    there, place = file_system(uri, options), SmallFiles(uri, options)
    reader = file_system(before.table_uri, options)
    files, now_ms = files_of(before), time.time_ns() // 1_000_000
    for number, row in enumerate(files.iter_rows(named=True), 1):
        name = f"part-{hashlib.sha256(row['path'].encode()).hexdigest()[:32]}.zstd.parquet"
        size = there.get_file_info([name])[0].size
        if size is None:
            with reader.open_input_file(unquote(row["path"])) as source:
                content = _rewritten(source, one)
            place.write_bytes(name, content)
            size = len(content)
            log.info("upgrading the store: %s, file %d of %d", one.after, number, files.height)
        yield AddAction(name, size, {}, now_ms, True, json.dumps(_statistics(row, one)))


def _rewritten(source: Any, one: Conversion) -> bytes:
    """A parquet file with the new columns, some rows at a time."""
    buffer, writer = io.BytesIO(), None
    file = pq.ParquetFile(source)
    for batch in file.iter_batches(batch_size=ROW_GROUP):
        table = _converted(pa.Table.from_batches([batch]), one)
        writer = writer or pq.ParquetWriter(buffer, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=ROW_GROUP)
    if writer is None:  # a file of no rows
        empty = _converted(file.schema_arrow.empty_table(), one)
        writer = pq.ParquetWriter(buffer, empty.schema, compression="zstd")
    writer.close()
    return buffer.getvalue()


def _converted(table: pa.Table, one: Conversion) -> pa.Table:
    columns = {}
    for name in table.column_names:
        column = _listed(table[name]) if name in one.lists else table[name]
        columns[one.renamed.get(name, name)] = column
    return pa.table(columns)


def _listed(joined: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys joined by commas as a list; an empty text is an empty list."""
    text = pl.Series("keys", joined)
    empty = pl.lit([], dtype=pl.List(pl.String))
    keys = pl.when(pl.col("keys") == "").then(empty).otherwise(pl.col("keys").str.split(","))
    arrow = text.to_frame().select(keys).to_arrow(compat_level=pl.CompatLevel.oldest())
    return arrow[0].cast(pa.list_(pa.string()))


def _statistics(file: Mapping[str, Any], one: Conversion) -> dict[str, Any]:
    """A file's statistics, as its old entry has them, of the integer columns."""
    found: dict[str, dict[str, int]] = {"min": {}, "max": {}, "null_count": {}}
    for entry, value in file.items():
        which, _, column = entry.partition(".")
        if which in found and isinstance(value, int) and not isinstance(value, bool):
            found[which][one.renamed.get(column, column)] = value
    return {
        "numRecords": file["num_records"],
        "minValues": found["min"],
        "maxValues": found["max"],
        "nullCount": {name: value for name, value in found["null_count"].items() if name not in one.lists},
    }

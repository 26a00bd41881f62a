"""A version as a file, for people and other programs: whole or not there, the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from store import Store
from store.dataset_versions import StoredVersion
from tracesieve.datasets.record import Record, canonical
from tracesieve.datasets.versions import records_of
from tracesieve.errors import OutsideError, TracesieveError

_ROW_GROUP = 500  # records


def write(store: Store, version: StoredVersion, to: Path) -> None:
    """Write a version to a file, whose name says as what: ``.jsonl`` or ``.parquet``.

    JSON lines hold the records exactly, one an object with ``inputs``, ``outputs``, ``expectations``,
    ``tags``, ``sources`` (trace ids) and ``origin``.  Parquet has a column for each, JSON texts but for
    ``sources``, and ``record``, the digest of the inputs.

    Raises:
        TracesieveError: the name has another ending.
        OutsideError: the file cannot be written; the one that was there stays.
    """
    writers: dict[str, Callable[[Iterator[Record], IO[bytes]], None]] = {
        ".jsonl": _jsonl,
        ".parquet": _parquet,
    }
    writer = writers.get(to.suffix.lower())
    if writer is None:
        raise TracesieveError(f"--to {to}: write a name that ends in .jsonl or .parquet")
    fresh = to.with_name(f".{to.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            writer(records_of(store, version), file)
        fresh.replace(to)
    except OSError as error:
        raise OutsideError(f"{to} cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def lines(store: Store, version: StoredVersion) -> Iterator[str]:
    """A version as JSON lines."""
    return (one.text() + "\n" for one in records_of(store, version))


def _jsonl(records: Iterator[Record], file: IO[bytes]) -> None:
    for one in records:
        file.write(one.text().encode() + b"\n")


def _parquet(records: Iterator[Record], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("record", "inputs", "outputs", "expectations", "tags", "origin")
    schema = pa.schema([*((name, pa.string()) for name in texts), ("sources", pa.list_(pa.string()))])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for one in records:
            rows.append(_flat(one))
            if len(rows) == _ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _flat(record: Record) -> dict[str, Any]:
    whole = record.as_json()
    texts = {
        name: canonical(value) for name, value in whole.items() if name != "sources" and value is not None
    }
    return {**texts, "record": record.key, "sources": whole["sources"]}

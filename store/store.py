"""Opening a store: the folder, its version, its tables, and the netting of its changelogs."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from store.errors import StoreError, StoreUnwritable, StoreVersionError
from store.schemas import TABLES
from store.table import Table

STORE_VERSION = 1
_VERSION_FILE = "tracesieve-store.json"


class Store:
    """The tables below one place; open it with :func:`open_store`."""

    def __init__(self, path: str, storage_options: dict[str, str] | None = None) -> None:
        self.path = path
        self._tables = {name: Table(f"{path.rstrip('/')}/{name}", spec, storage_options) for name, spec in TABLES.items()}

    def table(self, name: str) -> Table:
        """The table of that name (a key of ``store.schemas.TABLES``)."""
        return self._tables[name]

    def tables(self) -> dict[str, Table]:
        """All tables by name."""
        return dict(self._tables)


def open_store(path: str, *, create: bool = True, storage_options: dict[str, str] | None = None) -> Store:
    """Open the store at ``path``, creating it unless told otherwise.

    Raises:
        StoreError: there is none and ``create`` is False.
        StoreVersionError: it was written by another store version.
        StoreUnwritable: it cannot be created.
    """
    if "://" not in path:
        _check_version(Path(path), create)
    return Store(path, storage_options)


def _check_version(folder: Path, create: bool) -> None:
    file = folder / _VERSION_FILE
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["store_version"]
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{file} cannot be read: {error}") from error
        if found != STORE_VERSION:
            raise StoreVersionError(
                f"{folder} has store version {found}, this program writes {STORE_VERSION}: "
                "use the program that wrote it, or another folder (store: in the config)"
            )
        return
    if not create:
        raise StoreError(f"there is no store at {folder}: `tracesieve run` makes one, or name another with store: in the config")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps({"store_version": STORE_VERSION}), encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise StoreUnwritable(f"{folder} cannot be written: {error.strerror}") from error


def net_facts(facts: pl.DataFrame) -> pl.DataFrame:
    """The rows of a facts changelog that stand: for each trace the last +1 row of a content that no -1 row withdrew.

    Weights are summed by content, not by batch id, since a rebuilt stream counts its batches from zero again.
    """
    key = ["trace_id", "content_hash"]
    alive = facts.group_by(key).agg(pl.col("weight").cast(pl.Int64).sum().alias("_net")).filter(pl.col("_net") > 0)
    rows = facts.with_row_index("_row").filter(pl.col("weight") > 0).join(alive, on=key, how="semi", nulls_equal=True)
    return rows.sort("batch_id", "_row").unique("trace_id", keep="last", maintain_order=True).drop("_row")

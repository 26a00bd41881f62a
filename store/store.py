"""Opening a store: the folder, its version, its tables, and the netting of its changelogs."""

from __future__ import annotations

import polars as pl

from store.schemas import TABLES
from store.table import Table
from store.upgrades.upgrade import check_version


class Store:
    """The tables below one place; open it with :func:`open_store`."""

    def __init__(self, path: str, storage_options: dict[str, str] | None = None) -> None:
        self.path = path
        self._tables = {
            name: Table(f"{path.rstrip('/')}/{name}", spec, storage_options) for name, spec in TABLES.items()
        }

    def table(self, name: str) -> Table:
        """The table of that name (a key of ``store.schemas.TABLES``)."""
        return self._tables[name]

    def tables(self) -> dict[str, Table]:
        """All tables by name."""
        return dict(self._tables)


def open_store(path: str, *, create: bool = True, storage_options: dict[str, str] | None = None) -> Store:
    """Open the store at ``path``, creating or upgrading it where ``create`` allows.

    Raises:
        StoreError: there is none and ``create`` is False.
        StoreVersionError: it was written by another store version, and cannot be upgraded.
        StoreUnwritable: it cannot be created.
    """
    check_version(path, create, storage_options)
    return Store(path, storage_options)


def net_facts(facts: pl.DataFrame) -> pl.DataFrame:
    """The rows of a facts changelog that stand: for each trace the last +1 row of a content that no -1 row
    withdrew.

    Weights are summed by content, not by batch id, since a rebuilt stream counts its batches from zero again.
    Rows of weight 0 only say that a content was seen.
    """
    key = ["trace_id", "content_hash"]
    alive = (
        facts.group_by(key)
        .agg(pl.col("weight").cast(pl.Int64).sum().alias("_net"))
        .filter(pl.col("_net") > 0)
    )
    rows = (
        facts.with_row_index("_row")
        .filter(pl.col("weight") > 0)
        .join(alive, on=key, how="semi", nulls_equal=True)
    )
    return (
        rows.sort("arrived_us", "batch_id", "_row")
        .unique("trace_id", keep="last", maintain_order=True)
        .drop("_row")
    )

"""Opening a store: the folder, its version, its tables, and the netting of its changelogs."""

from __future__ import annotations

import polars as pl

from store.schemas import TABLES
from store.table import Table
from store.upgrades.upgrade import check_version

_CONTENT = ["trace_id", "content_hash"]
_WEIGHT = pl.col("weight").cast(pl.Int64).sum()
# What rules that are applied to the past change of a fact, as texts.
_VERSION = {
    "span_keys": pl.when(pl.col("span_keys").is_null()).then(pl.lit("")).otherwise(pl.lit("known")),
    "group_by": pl.col("group_by").fill_null([]).list.join("\x1f"),
    "group": pl.col("group").fill_null([]).list.join("\x1f"),
    "hits": pl.col("hits")
    .fill_null([])
    .list.eval(pl.element().struct.field("hash").fill_null(""))
    .list.sort()
    .list.join("\x1f"),
}


# What :func:`net_facts` looks at: whoever reads a part of the columns reads these.
NETTED = (
    "batch_id",
    "weight",
    "trace_id",
    "content_hash",
    "arrived_us",
    "group_by",
    "group",
    "hits",
    "span_keys",  # few distinct texts, so that it costs little to read
)
# What `tracesieve apply` adds to facts of an older program; whether it has shows in `span_keys`.
_FILLED = {"span_sums", "usage_disagrees", "failure"}


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
    """The rows of a facts changelog that stand: for each trace the last +1 row that no -1 row withdrew.

    A -1 row copies the row that it withdraws, so weights are summed by content, and within one by grouping
    and hits: rules that are applied to the past (SEMANTICS 31) leave the content as it is. They are not
    summed by batch id, since a rebuilt stream counts its batches from zero again. Rows of weight 0 only say
    that a content was seen.

    Raises:
        ValueError: columns that `apply` fills are there without the one that tells the filled row from the
            former.
    """
    if "span_keys" not in facts.columns and (known := sorted(_FILLED & set(facts.columns))):
        raise ValueError(f"{', '.join(known)} cannot be netted without span_keys: read NETTED too")
    rows = facts.filter(pl.col("weight") != 0).with_row_index("_row")
    # Nearly every trace has one row; those that may have several are told by a hash, many times faster.
    several = rows["trace_id"].hash().is_duplicated()
    standing = rows.filter(~several & (pl.col("weight") > 0))
    if several.any():
        standing = pl.concat([standing, _standing(rows.filter(several))])
    return standing.sort("arrived_us", "batch_id", "_row").drop("_row")


def _standing(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that stand of traces that have several."""
    alive = rows.group_by(_CONTENT).agg(_WEIGHT.alias("_net"), pl.len().alias("_rows"))
    alive = alive.filter(pl.col("_net") > 0)
    once, often = (alive.filter(one) for one in (pl.col("_rows") == 1, pl.col("_rows") > 1))
    standing = [rows.join(once.select(_CONTENT), on=_CONTENT, how="semi", nulls_equal=True)]
    if often.height:
        versions = rows.join(often.select(_CONTENT), on=_CONTENT, how="semi", nulls_equal=True)
        standing.append(_standing_versions(versions))
    return (
        pl.concat(standing)
        .filter(pl.col("weight") > 0)
        .sort("arrived_us", "batch_id", "_row")
        .unique("trace_id", keep="last", maintain_order=True)
    )


def _standing_versions(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of contents that have several, without those whose grouping and hits were withdrawn."""
    named = rows.with_columns(
        pl.concat_list(_VERSION[name] for name in _VERSION if name in rows.columns).alias("_version")
        if _VERSION.keys() & set(rows.columns)
        else pl.lit([], dtype=pl.List(pl.String)).alias("_version")
    ).with_columns(pl.col("_version").list.join("\x1e"))
    key = [*_CONTENT, "_version"]
    alive = named.group_by(key).agg(_WEIGHT.alias("_net")).filter(pl.col("_net") > 0)
    return named.join(alive, on=key, how="semi", nulls_equal=True).drop("_version")

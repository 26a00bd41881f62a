"""Windows: mergeable, subtractable partial aggregates of facts by the minute in which a trace ended (UTC).

All sums are integers and signed by a fact's weight, so that partials add up to the same totals in any order
or split. The same functions serve the batch that writes partials, the followers that read them, and reports.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from rules.alerting.histogram import bucket_index
from rules.alerting.sums import SUM_NAMES, SUMS, Sum
from rules.units import MINUTE_US

_STRINGS = pl.List(pl.String)
# The columns of facts that are read for it.
SUMMED = (
    "weight",
    "end_us",
    "group_by",
    "group",
    "hits",
    *dict.fromkeys(one.fact for one in SUMS if one.fact),
)
KEYS = ("start_us", "size_us", "group_by", "group", "rule_hash")


def partials(facts: pl.DataFrame, rule_hashes: Sequence[str] = ()) -> pl.DataFrame:
    """Partials of a batch of facts: of all traces (``rule_hash`` ""), and of the hits of each of these rules.

    The columns are those of the ``windows`` table without ``stream_id`` and ``batch_id``.
    """
    base = _prepared(facts).with_columns(pl.lit("").alias("rule_hash"))
    frames = [base]
    if rule_hashes:
        own = (
            base.drop("rule_hash")
            .explode("hits")
            .with_columns(pl.col("hits").struct.field("hash").alias("rule_hash"))
        )
        frames.append(own.filter(pl.col("rule_hash").is_in(list(rule_hashes))).select(base.columns))
    every = pl.concat([frame.drop("hits", strict=False) for frame in frames])
    sums = every.group_by(KEYS).agg([pl.col(name).sum() for name in SUM_NAMES])
    buckets = _buckets(
        every.filter(pl.col("bucket").is_not_null()).select(*KEYS, "bucket", pl.col("timed").alias("n"))
    )
    return _ordered(sums.join(buckets, on=list(KEYS), how="left", nulls_equal=True))


def merge(windows: pl.DataFrame) -> pl.DataFrame:
    """Add up partials with equal keys; the result has one row a key, and none for a key of which nothing is
    left.

    Partials of other sizes have other keys: they are kept apart, and add up all the same.
    """
    sums = windows.group_by(KEYS).agg([pl.col(name).sum() for name in SUM_NAMES])
    exploded = windows.select(
        *KEYS, pl.col("bucket_index").alias("bucket"), pl.col("bucket_count").alias("n")
    )
    exploded = exploded.filter(pl.col("bucket").list.len() > 0).explode("bucket", "n")
    merged = sums.join(_buckets(exploded), on=list(KEYS), how="left", nulls_equal=True)
    # Some partials of a window alone may sum to nothing while their histograms do not.
    left = [pl.col(name) != 0 for name in SUM_NAMES] + [pl.col("bucket_index").is_not_null()]
    return _ordered(merged.filter(pl.any_horizontal(left)))


def coarsened(windows: pl.DataFrame, size_us: int) -> pl.DataFrame:
    """Partials added up into windows of ``size_us`` (which the sizes there are divide); same columns, sums
    unchanged.

    The rows belong to no batch: ``stream_id`` "" and ``batch_id`` -1.
    """
    moved = windows.with_columns(
        (pl.col("start_us") // size_us * size_us).alias("start_us"),
        pl.lit(size_us, dtype=pl.Int64).alias("size_us"),
    )
    return merge(moved).with_columns(
        pl.lit("").alias("stream_id"), pl.lit(-1, dtype=pl.Int64).alias("batch_id")
    )


def regrouped(windows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The same partials with ``group`` reduced to the keys of ``by`` (each a key of ``group_by``)."""
    frames = []
    for (names,), part in windows.group_by("group_by", maintain_order=True):
        if not set(by) <= set(names):
            continue
        picked = [pl.col("group").list.get(names.index(key)) for key in by]
        group = pl.concat_list(picked) if picked else pl.lit([], dtype=_STRINGS)
        frames.append(
            part.with_columns(group.alias("group"), pl.lit(list(by), dtype=_STRINGS).alias("group_by"))
        )
    return pl.concat(frames) if frames else windows.clear()


def _prepared(facts: pl.DataFrame) -> pl.DataFrame:
    weight = pl.col("weight").cast(pl.Int64)
    index = pl.Series("bucket", bucket_index(facts["duration_us"].fill_null(0).to_numpy()), dtype=pl.Int32)
    return facts.select(
        (pl.col("end_us") // MINUTE_US * MINUTE_US).alias("start_us"),
        pl.lit(MINUTE_US, dtype=pl.Int64).alias("size_us"),
        "group_by",
        "group",
        "hits",
        pl.when(pl.col("duration_us").is_not_null()).then(index).alias("bucket"),
        *((weight * _added(one)).alias(one.name) for one in SUMS),
    )


def _added(one: Sum) -> pl.Expr:
    """What a fact adds to a sum, apart from its weight."""
    if one.how == "count":
        return pl.lit(1, dtype=pl.Int64)
    if one.how == "known":
        return pl.col(one.fact).is_not_null().cast(pl.Int64)
    return pl.col(one.fact).cast(pl.Int64) if one.how == "true" else pl.col(one.fact).fill_null(0)


def _buckets(rows: pl.DataFrame) -> pl.DataFrame:
    counted = rows.group_by(*KEYS, "bucket").agg(pl.col("n").sum()).filter(pl.col("n") != 0).sort("bucket")
    return counted.group_by(KEYS, maintain_order=True).agg(
        pl.col("bucket").alias("bucket_index"), pl.col("n").alias("bucket_count")
    )


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    filled = frame.with_columns(
        pl.col("bucket_index").fill_null(pl.lit([], dtype=pl.List(pl.Int32))).cast(pl.List(pl.Int32)),
        pl.col("bucket_count").fill_null(pl.lit([], dtype=pl.List(pl.Int64))).cast(pl.List(pl.Int64)),
    )
    return filled.sort("start_us", "rule_hash", "group")

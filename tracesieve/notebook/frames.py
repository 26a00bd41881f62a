"""Rows of the store as frames for people: times as datetimes in UTC, durations in ms, cost in USD, a column
for each key of the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from rules.alerting.histogram import quantile_us
from rules.alerting.sums import QUANTILES, TOKENS
from rules.failures import FAILURE_KEYS
from rules.units import MINUTE_US
from store.store import Store
from store.windows import coarsened, merge

FACTS: Final = (
    "error",
    *(f"tokens_{kind}" for kind in TOKENS),
    "cost_nusd",
    "late",
    "usage_disagrees",
    "failure",
)
_FAILURE = pl.Struct({key: pl.Boolean if key == "handled" else pl.String for key in FAILURE_KEYS})


def facts_frame(facts: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """A row a trace, by end: ids, a column for each of ``keys``, ``start``, ``end``, ``state``, ``error``,
    ``duration_ms``, ``tokens_…``, ``cost_usd``, ``rules`` (ids of those that match it), ``failure_…``.
    """
    failure = facts["failure"].str.json_decode(_FAILURE).struct
    whole = facts.with_columns(failure.field(key).alias(f"failure_{key}") for key in FAILURE_KEYS)
    return whole.sort("end_us", "trace_id").select(
        "trace_id",
        "experiment_id",
        "experiment",
        *_groups([key for key in keys if key != "experiment"]),
        time("start_us").alias("start"),
        time("end_us").alias("end"),
        "state",
        "error",
        (pl.col("duration_us") / 1000).alias("duration_ms"),
        *(f"tokens_{kind}" for kind in TOKENS),
        (pl.col("cost_nusd") / 1e9).alias("cost_usd"),
        "late",
        "usage_disagrees",
        pl.col("hits").list.eval(pl.element().struct.field("rule")).alias("rules"),
        *(f"failure_{key}" for key in FAILURE_KEYS),
    )


def windows_frame(store: Store, from_us: int, to_us: int, every_us: int, keys: Sequence[str]) -> pl.DataFrame:
    """A row for each window and group, by time: ``start``, ``minutes``, a column for each of ``keys``,
    ``traces``, ``errors``, ``error_rate``, quantiles of durations in ms, ``tokens_…``, ``cost_usd``.

    They are made of the minutes in which [from, to) lies, and are ``every_us`` long; windows of long ago,
    which are kept by the hour or the day, stay as long as they are.
    """
    ends_us = pl.col("start_us") + pl.col("size_us")
    inside = (ends_us > from_us) & (pl.col("start_us") < to_us) & (pl.col("rule_hash") == "")
    rows = merge(store.table("windows").read(where=inside))
    short = pl.col("size_us") <= every_us
    rows = pl.concat([_coarse(rows.filter(short), every_us), rows.filter(~short)], how="diagonal")
    quantiles = [_of_histogram(row) for row in rows.select("bucket_index", "bucket_count").iter_rows()]
    numbers = pl.DataFrame(quantiles, schema=dict.fromkeys(QUANTILES, pl.Float64), orient="row")
    return (
        rows.hstack(numbers)
        .sort("start_us", "group")
        .select(
            time("start_us").alias("start"),
            (pl.col("size_us") // MINUTE_US).alias("minutes"),
            *_groups(keys),
            "traces",
            "errors",
            (pl.col("errors") / pl.col("traces")).alias("error_rate"),
            *numbers.columns,
            *(_known(f"tokens_{kind}") for kind in TOKENS),
            _known("cost_nusd", "cost_known", 1e9).alias("cost_usd"),
        )
    )


def time(column: str) -> pl.Expr:
    """A column of µs as a datetime in UTC."""
    return pl.from_epoch(pl.col(column), "us").dt.replace_time_zone("UTC")


def _coarse(rows: pl.DataFrame, every_us: int) -> pl.DataFrame:
    return rows if rows.is_empty() else coarsened(rows, every_us).drop("stream_id", "batch_id")


def _of_histogram(row: tuple[Any, ...]) -> tuple[float | None, ...]:
    counts = dict(zip(*(one or [] for one in row), strict=True))
    found = [quantile_us(counts, share) for share in QUANTILES.values()]
    return tuple(None if one is None else one / 1000 for one in found)


def _known(name: str, known: str | None = None, divided_by: float | None = None) -> pl.Expr:
    """A sum, null where it is known of no trace."""
    value = pl.col(name) if divided_by is None else pl.col(name) / divided_by
    return pl.when(pl.col(known or f"{name}_known") > 0).then(value).alias(name)


def _groups(keys: Sequence[str]) -> list[pl.Expr]:
    """A column for each key; null where rows were counted by other keys."""
    found = []
    for key in keys:
        place = pl.col("group_by").list.eval((pl.element() == key).arg_true()).list.first()
        found.append(pl.col("group").list.get(place, null_on_oob=True).alias(key))
    return found

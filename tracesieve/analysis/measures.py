"""The numbers of some traces: how many, errors, latency, tokens and cost, added up by any columns at once.

Quantiles come from the exponential histogram of durations (SEMANTICS 9), so that they are those of windows
and metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import polars as pl

from rules.alerting.histogram import bucket_index, quantile_us
from rules.alerting.sums import TOKENS

QUANTILES: Final = (50, 95, 99)
MEASURED: Final = ("error", "duration_us", *(f"tokens_{kind}" for kind in TOKENS), "cost_nusd")
_AMOUNTS: Final = (*(f"tokens_{kind}" for kind in TOKENS), "cost_nusd")
BUCKET: Final = "_bucket"
Key = tuple[Any, ...]


def with_buckets(facts: pl.DataFrame) -> pl.DataFrame:
    """The facts with the bucket of each duration, null where there is none."""
    known = pl.Series(bucket_index(facts["duration_us"].fill_null(0).to_numpy()), dtype=pl.Int32)
    return facts.with_columns(pl.when(pl.col("duration_us").is_not_null()).then(known).alias(BUCKET))


def measures(facts: pl.DataFrame, by: Sequence[str]) -> dict[Key, dict[str, Any]]:
    """The numbers of facts (:func:`with_buckets`) by the values of those columns; with none, of all of them
    under the empty key.

    An amount that no trace of a key knows is null, and so are quantiles and rates of no traces.
    """
    counted = [pl.len().alias("traces"), pl.col("error").sum().cast(pl.Int64).alias("errors")]
    summed = [pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _AMOUNTS]
    durations = facts.select(*by, BUCKET).filter(pl.col(BUCKET).is_not_null())
    histograms: dict[Key, dict[int, int]] = defaultdict(dict)
    for *key, bucket, number in durations.group_by(*by, BUCKET).len().iter_rows():
        histograms[_key(key)][bucket] = number
    sums = facts.group_by(*by).agg(*counted, *summed) if by else facts.select(*counted, *summed)
    found = {_key(row[name] for name in by): row for row in sums.iter_rows(named=True)}
    return {key: _numbers(row, histograms.get(key, {})) for key, row in found.items()}


def _key(values: Iterable[Any]) -> Key:
    """The values of a key; a list of them, which cannot be looked up, as a tuple."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _numbers(row: dict[str, Any], histogram: dict[int, int]) -> dict[str, Any]:
    traces, errors = row["traces"], row["errors"]
    quantiles = {p: quantile_us(histogram, p / 100) for p in QUANTILES}
    cost = row["cost_nusd"]
    return {
        "traces": traces,
        "errors": errors,
        "error_rate": errors / traces if traces else None,
        "success_rate": 1 - errors / traces if traces else None,
        **{f"p{p}_ms": None if value is None else value / 1000 for p, value in quantiles.items()},
        "tokens": {kind: row[f"tokens_{kind}"] for kind in TOKENS},
        "cost_usd": None if cost is None else cost / 1e9,
    }

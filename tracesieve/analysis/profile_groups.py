"""Where the time of each group of traces went: what takes the most, in one row a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from rules.alerting.histogram import bucket_index, quantile_us
from rules.breakdown import Pair, Total
from tracesieve.analysis.added_up import added_up
from tracesieve.analysis.bottleneck import bottleneck


def by_group(facts: pl.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """``group`` (the values of the keys, ``""`` where a trace has none), ``traces``, their ``p50_ms`` and
    ``p95_ms``, ``most`` (``span_name``, ``span_type``, ``critical_share`` of what is longest on the critical
    path), ``bottleneck`` and ``bottleneck_span``; the group with the most traces first.

    ``facts`` has ``group_by``, ``group``, ``duration_us``, ``span_keys`` and ``span_sums``.
    """
    keyed = facts.with_columns(_value(key).alias(f"by {place}") for place, key in enumerate(by))
    columns = [f"by {place}" for place in range(len(by))]
    rows = [
        {"group": dict(zip(by, values, strict=True)), "traces": part.height, **_of_group(part)}
        for values, part in keyed.group_by(columns)
    ]
    return sorted(rows, key=lambda row: (-row["traces"], list(row["group"].values())))


def _value(key: str) -> pl.Expr:
    place = pl.col("group_by").list.eval(pl.element() == key).list.arg_max()
    there = pl.col("group_by").list.contains(key)
    return pl.when(there).then(pl.col("group").list.get(place, null_on_oob=True)).fill_null("")


def _of_group(facts: pl.DataFrame) -> dict[str, Any]:
    index, count = np.unique(bucket_index(facts["duration_us"].drop_nulls().to_numpy()), return_counts=True)
    counts = dict(zip(index.tolist(), count.tolist(), strict=True))
    p50, p95 = (quantile_us(counts, q) for q in (0.5, 0.95))
    of_pairs = added_up(facts.filter(pl.col("span_sums").is_not_null()))
    return {
        "p50_ms": None if p50 is None else p50 / 1000,
        "p95_ms": None if p95 is None else p95 / 1000,
        "most": _most(of_pairs),
        **bottleneck(of_pairs),
    }


def _most(of_pairs: dict[Pair, Total]) -> dict[str, Any] | None:
    whole = sum(total.sums["critical_us"] for total in of_pairs.values())
    if not whole:
        return None
    kind, name = max(of_pairs, key=lambda pair: (of_pairs[pair].sums["critical_us"], pair))
    share = of_pairs[kind, name].sums["critical_us"] / whole
    return {"span_name": name, "span_type": kind, "critical_share": share}

"""Slow patterns: which span takes the time of the slow traces, those above the P95 of the range."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from rules.alerting.histogram import bucket_index
from rules.breakdown import SUMS, restored
from tracesieve.analysis.bottleneck import WRAPPERS, short_name
from tracesieve.analysis.measures import BUCKET

SAMPLES: Final = 3
AT_ONCE: Final = 100_000
_CRITICAL: Final = SUMS.index("critical_us")
_P95: Final = 0.95


def slow_patterns(facts: pl.DataFrame, p95_ms: float | None) -> dict[str, Any]:
    """``slow_patterns``, a row for each span that takes more of the critical path of some slow traces than
    any other span, the most frequent first; and ``slow``: how many ``traces`` took longer than
    ``above_ms``, and of how many it is not known where (``unknown``: no spans, or an earlier version counted
    them).

    A row has ``span_name``, ``span_type``, ``traces``, their ``share`` of the slow ones, ``critical_share``
    (the span's part of the critical paths of these traces), ``p95_ms`` of these traces, and ``samples``, the
    slowest first. Wrappers are named only where nothing else took time.
    """
    found = _above(facts, p95_ms)
    known = found.filter(pl.col("span_sums").is_not_null())
    parts = [_slowest_spans(part) for part in known.iter_slices(AT_ONCE)] if known.height else []
    rows = _rows(pl.concat(parts), found.height) if parts else []
    unknown = found.height - sum(row["traces"] for row in rows)
    return {
        "slow_patterns": rows,
        "slow": {"traces": found.height, "above_ms": p95_ms, "unknown": unknown},
    }


def _above(facts: pl.DataFrame, p95_ms: float | None) -> pl.DataFrame:
    """Those in a bucket above that of the P95, which stands for all durations in its bucket."""
    if p95_ms is None:
        return facts.clear()
    (limit,) = bucket_index(np.array([round(p95_ms * 1000)], dtype=np.int64)).tolist()
    return facts.filter(pl.col(BUCKET) > limit)


def _slowest_spans(facts: pl.DataFrame) -> pl.DataFrame:
    """For each trace the span that takes the most of its critical path, and how much of it."""
    keys, sums = (
        facts[name].to_arrow(compat_level=pl.CompatLevel.oldest()) for name in ("span_keys", "span_sums")
    )
    entries = restored(keys, sums)
    wrapper = np.array([short_name(name).lower() in WRAPPERS for name in entries.names], dtype=bool)
    frame = pl.DataFrame(
        {
            "owner": entries.owners,
            "span_type": entries.pairs[:, 0],
            "span_name": entries.pairs[:, 1],
            "wrapper": wrapper[entries.pairs[:, 1]] if len(wrapper) else np.zeros(0, bool),
            "critical_us": entries.sums[_CRITICAL],
        }
    )
    types, names = pl.Series(entries.types, dtype=pl.String), pl.Series(entries.names, dtype=pl.String)
    frame = frame.with_columns(
        types.gather(frame["span_type"]).alias("span_type"),
        names.gather(frame["span_name"]).alias("span_name"),
        pl.col("critical_us").sum().over("owner").alias("whole_us"),
    ).filter(pl.col("critical_us") > 0)
    order = ["owner", "wrapper", "critical_us", "span_name", "span_type"]
    first = frame.sort(order, descending=[False, False, True, False, False])
    first = first.unique("owner", keep="first", maintain_order=True)
    of_trace = facts.select("trace_id", "duration_us").with_row_index("owner")
    return of_trace.join(first, on=pl.col("owner").cast(pl.Int64), how="inner")


def _rows(spans: pl.DataFrame, slow: int) -> list[dict[str, Any]]:
    by_span = (
        spans.sort("duration_us", "trace_id", descending=[True, False])
        .group_by("span_name", "span_type", maintain_order=True)
        .agg(
            pl.len().alias("traces"),
            (pl.col("critical_us").sum() / pl.col("whole_us").sum()).alias("critical_share"),
            (pl.col("duration_us").quantile(_P95, "higher") / 1000).alias("p95_ms"),
            pl.col("trace_id").head(SAMPLES).alias("samples"),
        )
        .with_columns(share=pl.col("traces") / slow)
        .sort("traces", "span_name", "span_type", descending=[True, False, False])
    )
    columns = ("span_name", "span_type", "traces", "share", "critical_share", "p95_ms", "samples")
    return by_span.select(columns).to_dicts()

"""Hot spots: which spans and which groups use the tokens and the cost of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tracesieve.analysis.added_up import added_up


def hot_spots(
    facts: pl.DataFrame, groups: Sequence[Mapping[str, Any]], whole: Mapping[str, Any]
) -> dict[str, Any]:
    """``by_span_name`` and ``by_group``, rows with ``tokens``, ``tokens_share``, ``cost_usd`` and
    ``cost_share``, the dearest first (without costs: that with the most tokens); and ``of_spans``, the
    ``tokens`` and ``cost_usd`` that spans report themselves, which shares of spans are of.

    Groups add up to the range's ``whole``. Spans may not: some tracers write a trace's tokens without saying
    which span used them, or the same ones twice (``usage_disagrees``).
    """
    totals = added_up(facts.filter(pl.col("span_sums").is_not_null()).select("span_keys", "span_sums"))
    spans = [
        {
            "span_name": name,
            "span_type": kind,
            "calls": total.sums["calls"],
            "tokens": total.sums.get("tokens_total"),
            "cost_usd": None if (cost := total.sums.get("cost_nusd")) is None else cost / 1e9,
        }
        for (kind, name), total in totals.items()
        if total.sums.get("tokens_total") or total.sums.get("cost_nusd")
    ]
    of_spans = {name: _sum(row[name] for row in spans) for name in ("tokens", "cost_usd")}
    of_groups = [
        {
            "group": row["group"],
            "traces": row["traces"],
            "tokens": row["tokens"]["total"],
            "cost_usd": row["cost_usd"],
        }
        for row in groups
    ]
    of_range = {"tokens": whole["tokens"]["total"], "cost_usd": whole["cost_usd"]}
    return {
        "by_span_name": _shared(spans, of_spans),
        "by_group": _shared([row for row in of_groups if row["tokens"] or row["cost_usd"]], of_range),
        "of_spans": of_spans,
    }


def _sum(values: Any) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _shared(rows: Sequence[dict[str, Any]], whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [
        {
            **row,
            "tokens_share": _share(row["tokens"], whole["tokens"]),
            "cost_share": _share(row["cost_usd"], whole["cost_usd"]),
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: (-(row["cost_usd"] or 0), -(row["tokens"] or 0), str(row)))


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole

"""Reports: error rate, latency, tokens and cost of a range of time, from the facts that stand; starts no
Java.

``rules`` counts, for a trace rule, the traces that it matches; for an alert rule, the traces that are
evidence of its alerts: those with its id in ``tracesieve.rules``.  (That an alert rule counts a trace is no
match.) ``candidates`` counts the traces by the category that ``eval_candidate`` holds, a person's too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl

from rules.alerting.histogram import bucket_index, quantile_us
from rules.alerting.sums import TOKENS
from rules.units import MINUTE_US
from sinks.mlflow.config import DatasetsConfig
from store.content import TraceTable
from store.final_through import stored_final_through_us
from store.store import NETTED, Store, net_facts
from tracesieve.analysis.candidates import candidates
from tracesieve.analysis.error_patterns import error_patterns, failure_messages
from tracesieve.analysis.matches import matches_in
from tracesieve.json_output import iso

SAMPLES = 5
_FRESH = ("late", "backlog", "duplicates", "amended", "expired", "left_out", "quarantined", "deleted")
_COLUMNS = (
    *NETTED,
    "start_us",
    "end_us",
    "error",
    "duration_us",
    *(f"tokens_{kind}" for kind in TOKENS),
    "cost_nusd",
    "usage_disagrees",
)


def report(
    store: Store,
    from_us: int,
    to_us: int,
    by: list[str],
    now_us: int,
    content: TraceTable | None = None,
    prefix: str = DatasetsConfig().prefix,
) -> dict[str, Any]:
    """The document of ``report --json``: traces that ended in [from, to), those dated in the future held
    back.

    ``content`` is where requests are kept, the store's ``traces`` if not given; ``prefix`` that of datasets.

    Raises:
        StoreError: the trace table cannot be read.
    """
    until = min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    # A withdrawal copies the values it takes back, its end too, so that the rows of a range net by
    # themselves: what moved out of it has both its rows in it, what moved in only the new one.
    facts = net_facts(store.table("facts").read(list(_COLUMNS), touched))
    document = {"from": iso(from_us), "to": iso(to_us), **_numbers(facts), "groups": _groups(facts, by)}
    matches = matches_in(store, facts, from_us)
    document |= {"candidates": matches.candidates, "rules": matches.rules}
    document |= candidates(store, facts.select("trace_id"), matches, prefix)
    document |= error_patterns(store, from_us, until, document["errors"])
    failed = facts.filter("error").sort("end_us", "trace_id", descending=True).head(SAMPLES)
    table = content or TraceTable(store.table("traces").uri)
    samples = table.samples(dict(failed.select("trace_id", "start_us").iter_rows()))
    messages = failure_messages(store, failed["trace_id"], touched)
    document["error_samples"] = [
        {"trace_id": one, "request": request, "error": error or messages.get(one)}
        for one in failed["trace_id"]
        for request, error in [samples.get(one, (None, None))]
    ]
    differ = int(facts["usage_disagrees"].sum() or 0)
    document["freshness"] = {**_freshness(store), "usage_disagrees": differ}
    return document


def _numbers(facts: pl.DataFrame) -> dict[str, Any]:
    traces, errors = facts.height, int(facts["error"].sum() or 0)
    index, count = np.unique(bucket_index(facts["duration_us"].drop_nulls().to_numpy()), return_counts=True)
    counts = dict(zip(index.tolist(), count.tolist(), strict=True))
    result: dict[str, Any] = {
        "traces": traces,
        "errors": errors,
        "error_rate": errors / traces if traces else None,
    }
    result["success_rate"] = 1 - errors / traces if traces else None
    for p in (50, 95, 99):
        value = quantile_us(counts, p / 100)
        result[f"p{p}_ms"] = None if value is None else value / 1000
    result["tokens"] = {kind: _sum(facts[f"tokens_{kind}"]) for kind in TOKENS}
    cost = _sum(facts["cost_nusd"])
    result["cost_usd"] = None if cost is None else cost / 1e9
    return result


def _sum(values: pl.Series) -> int | None:
    known = values.drop_nulls()
    return int(known.sum()) if known.len() else None


def _groups(facts: pl.DataFrame, by: list[str]) -> list[dict[str, Any]]:
    parts: dict[tuple[tuple[str, str], ...], list[pl.DataFrame]] = defaultdict(list)
    for (names, values), part in facts.group_by("group_by", "group"):
        whole = dict(zip(names, values, strict=True))
        parts[tuple((key, whole.get(key, "")) for key in (by or names))].append(part)
    rows = [{"group": dict(key), **_numbers(pl.concat(frames))} for key, frames in parts.items()]
    return sorted(rows, key=lambda row: (-row["traces"], str(row["group"])))


def _freshness(store: Store) -> dict[str, Any]:
    batches = store.table("batches").read(list(_FRESH), pl.col("phase") == "end")
    fresh: dict[str, Any] = {"final_through": iso(stored_final_through_us(store))}
    fresh |= {name: int(batches[name].sum() or 0) for name in _FRESH}
    fresh["in_progress"] = _in_progress(store)
    fresh["dead_letters"] = _dead_letters(store)
    return fresh


def _in_progress(store: Store) -> int:
    """What an MLflow server counted last, and what a Delta table holds unfinished."""
    landing = (
        store.table("landing")
        .read(["experiment_id", "in_progress", "at_us"])
        .sort("at_us", maintain_order=True)
    )
    server = int(landing.unique("experiment_id", keep="last", maintain_order=True)["in_progress"].sum() or 0)
    waiting = store.table("in_progress").read(["trace_id", "start_us"]).unique("trace_id")
    if waiting.is_empty():
        return server
    since = (pl.col("start_us") >= waiting["start_us"].min()) & pl.col("trace_id").is_in(
        waiting["trace_id"].implode()
    )
    ended = store.table("facts").read(["trace_id"], since)
    return server + waiting.join(ended, on="trace_id", how="anti").height


def _dead_letters(store: Store) -> int:
    """Deliveries that were refused for good and not tried again since."""
    table = store.table("deliveries")
    dead = table.read(["key"], pl.col("outcome") == "dead")["key"].unique()
    if dead.is_empty():
        return 0
    outcomes = table.read(["key", "outcome", "at_us"], pl.col("key").is_in(dead.implode()))
    last = outcomes.sort("at_us", maintain_order=True).unique("key", keep="last", maintain_order=True)
    return last.filter(pl.col("outcome") == "dead").height

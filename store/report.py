"""Reports: error rate, latency, tokens and cost of a range of time, from the facts that stand; starts no Java."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from rules.histogram import bucket_index, quantile_us
from rules.model import Pack
from store.store import Store, net_facts

MINUTE_US = 60_000_000
SAMPLES = 5
_FRESH = ("late", "duplicates", "amended", "expired", "left_out", "quarantined")


def report(store: Store, from_us: int, to_us: int, by: list[str], now_us: int) -> dict[str, Any]:
    """The document of ``report --json``: traces that ended in [from, to), those dated in the future held back."""
    until = min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    # An amendment copies the old row's values, so the rows of a range net by themselves unless the end moved.
    facts = net_facts(store.table("facts").read(where=touched))
    document = {"from": from_us / 1e6, "to": to_us / 1e6, **_numbers(facts)}
    document["groups"] = _groups(facts, by)
    pack = _pack(store)
    hits = facts.select("trace_id", "hits").explode("hits", empty_as_null=True).drop_nulls()
    rules = dict(hits.select(pl.col("hits").struct.field("rule")).group_by("rule").len().iter_rows()) if hits.height else {}
    document["rules"] = rules
    document["candidates"] = _candidates(facts, pack)
    failed = facts.filter("error").sort("end_us", descending=True).head(SAMPLES)
    document["error_samples"] = [{"trace_id": t, **_content(store, t)} for t in failed["trace_id"]]
    document["freshness"] = _freshness(store)
    return document


def _numbers(facts: pl.DataFrame) -> dict[str, Any]:
    traces, errors = facts.height, int(facts["error"].sum() or 0)
    index, count = np.unique(bucket_index(facts["duration_us"].drop_nulls().to_numpy()), return_counts=True)
    counts = dict(zip(index.tolist(), count.tolist(), strict=True))
    result: dict[str, Any] = {"traces": traces, "errors": errors, "error_rate": errors / traces if traces else None}
    result["success_rate"] = 1 - errors / traces if traces else None
    for p in (50, 95, 99):
        value = quantile_us(counts, p / 100)
        result[f"p{p}_ms"] = None if value is None else value / 1000
    result["tokens"] = {kind: _sum(facts[f"tokens_{kind}"]) for kind in ("input", "output", "total")}
    cost = _sum(facts["cost_nusd"])
    result["cost_usd"] = None if cost is None else cost / 1e9
    return result


def _sum(values: pl.Series) -> int | None:
    known = values.drop_nulls()
    return int(known.sum()) if known.len() else None


def _groups(facts: pl.DataFrame, by: list[str]) -> list[dict[str, Any]]:
    groups = []
    for (keys, values), part in facts.group_by("group_by", "group"):
        names = str(keys).split(",") if keys else []
        whole = dict(zip(names, values, strict=True))
        groups.append(({key: whole.get(key, "") for key in (by or names)}, part))
    merged: dict[tuple[tuple[str, str], ...], list[pl.DataFrame]] = {}
    for group, part in groups:
        merged.setdefault(tuple(group.items()), []).append(part)
    rows = [{"group": dict(key), **_numbers(pl.concat(parts))} for key, parts in merged.items()]
    return sorted(rows, key=lambda row: (-row["traces"], str(row["group"])))


def _candidates(facts: pl.DataFrame, pack: Pack | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for hits in facts["hits"] if pack else []:
        category = pack.category_of([hit["rule"] for hit in hits]) if pack else None
        if category:
            found[category] = found.get(category, 0) + 1
    return found


def _pack(store: Store) -> Pack | None:
    rows = store.table("packs").read().sort("loaded_us", maintain_order=True)
    return Pack.from_json(rows["pack"][-1]) if rows.height else None


def _content(store: Store, trace_id: str) -> dict[str, Any]:
    row = store.table("traces").read(["request", "spans"], pl.col("trace_id") == trace_id).to_dicts()
    if not row:
        return {"request": None, "error": None}
    messages = [span["status_message"] for span in row[-1]["spans"] or [] if span["status_message"]]
    return {"request": (row[-1]["request"] or "")[:500] or None, "error": messages[0][:500] if messages else None}


def _freshness(store: Store) -> dict[str, Any]:
    batches = store.table("batches").read().filter(pl.col("phase") == "end")
    through = batches["arrived_through_us"].max()
    fresh: dict[str, Any] = {"final_through": through / 1e6 if isinstance(through, int) else None}
    fresh |= {name: int(batches[name].sum() or 0) for name in _FRESH}
    waiting = store.table("in_progress").read(["trace_id"]).unique()
    known = store.table("facts").read(["trace_id"]).unique()
    fresh["in_progress"] = waiting.join(known, on="trace_id", how="anti").height
    fresh["dead_letters"] = store.table("deliveries").read(["outcome"]).filter(pl.col("outcome") == "dead").height
    return fresh

"""Wishes: the tags a trace should bear and the datasets it should be in, from its standing fact and its evidence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.model import Pack
from store import Store, net_facts
from store.outbox import Outbox, Wish


@dataclass
class TraceWishes:
    """Follows ``facts`` and ``evidence`` of one stream; its cursor is committed with the wishes."""

    store: Store
    outbox: Outbox
    stream_id: str
    tags: bool = True
    datasets: bool = False
    _evidence_seen: int = field(default=-2)

    def step(self, pack: Pack, batch_id: int, now_us: int) -> int:
        """Wish for every trace touched by batches up to ``batch_id``, and for new evidence; the number of new wishes."""
        app = f"wishes:{self.stream_id}"
        cursor = self.store.table("outbox").app_version(app)
        made = 0
        if cursor is None or cursor < batch_id:
            since = -1 if cursor is None else cursor
            new = (pl.col("stream_id") == self.stream_id) & (pl.col("batch_id") > since) & (pl.col("batch_id") <= batch_id)
            touched = self.store.table("facts").read(["trace_id", "weight", "hits"], new)
            # A withdrawn row copies the hits it withdraws, so a trace that no longer matches is among them.
            ids = touched.filter(pl.col("hits").list.len() > 0)["trace_id"].unique().to_list()
            made = self.outbox.wish(self._wishes(pack, ids), now_us, app_id=app, version=batch_id)
        version = self.store.table("evidence").version()
        if version != self._evidence_seen:
            made += self.outbox.wish(
                self._wishes(pack, self.store.table("evidence").read()["trace_id"].unique().to_list()), now_us
            )
            self._evidence_seen = version
        return made

    def _wishes(self, pack: Pack, trace_ids: list[str]) -> list[Wish]:
        if not trace_ids:
            return []
        wanted = pl.col("trace_id").is_in(trace_ids)
        standing = {row["trace_id"]: row for row in net_facts(self.store.table("facts").read(where=wanted)).to_dicts()}
        evidence: dict[str, set[str]] = defaultdict(set)
        for row in self.store.table("evidence").read(["trace_id", "rule"], wanted).iter_rows(named=True):
            evidence[row["trace_id"]].add(row["rule"])
        wishes: list[Wish] = []
        if self.tags:
            wishes += [Wish("mlflow_tags", t, tags_of(pack, t, standing.get(t), evidence[t])) for t in sorted(trace_ids)]
        if self.datasets:
            wishes += [
                Wish("mlflow_datasets", t, membership_of(pack, t, standing.get(t), evidence[t])) for t in sorted(trace_ids)
            ]
        return wishes


def tags_of(pack: Pack, trace_id: str, fact: dict[str, Any] | None, evidence: set[str]) -> dict[str, Any]:
    """What the tags of a trace should say: no category and no rules for one that is not, or no longer, matched."""
    if fact is None:
        return {"trace_id": trace_id, "category": None, "rules": []}
    known = {rule.id for rule in pack.trace_rules}
    hits = [hit["rule"] for hit in fact["hits"] if hit["rule"] in known]
    category = pack.category_of(hits)
    picked = [rule for rule in pack.window_rules if rule.id in evidence and rule.evidence_tag]
    if category is None and picked:
        category = picked[0].evidence_tag
    return {"trace_id": trace_id, "category": category, "rules": sorted({*hits, *(rule.id for rule in picked)})}


def membership_of(pack: Pack, trace_id: str, fact: dict[str, Any] | None, evidence: set[str]) -> dict[str, Any]:
    """The dataset categories a trace belongs to, each with the rules and versions that say so; none withdraws it."""
    if fact is None:
        return {"trace_id": trace_id, "categories": {}}
    hits = {hit["rule"]: hit["hash"] for hit in fact["hits"]}
    found = [(rule.tag, rule.id, hits[rule.id]) for rule in pack.trace_rules if rule.id in hits]
    found += [(rule.evidence_tag, rule.id, rule.hash) for rule in pack.window_rules if rule.id in evidence and rule.evidence_tag]
    points = {rule.id: rule.points_to or rule.id for rule in pack.trace_rules}
    points |= {rule.id: rule.points_to or rule.id for rule in pack.window_rules}
    categories: dict[str, dict[str, Any]] = {}
    for tag, rule, version in found:
        entry = categories.setdefault(tag, {"rules": [], "reason": points[rule]})
        entry["rules"].append({"rule": rule, "hash": version})
    return {
        "trace_id": trace_id, "start_us": fact["start_us"], "end_us": fact["end_us"],
        "experiment_id": fact["experiment_id"], "categories": categories,
    }  # fmt: skip

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
            ids = set(touched.filter(pl.col("hits").list.len() > 0)["trace_id"])
            said = set(self.store.table("candidates").read(["trace_id"], new)["trace_id"])
            # A trace that people speak of is in a dataset without a rule: whatever amends it is for the sink to hear.
            spoken = set(touched["trace_id"]) & set(self._candidates(set(touched["trace_id"]))) if self.datasets else set()
            wishes = self._wishes(pack, ids, ids | said | spoken)
            made = self.outbox.wish(wishes, now_us, app_id=app, version=batch_id)
        version = self.store.table("evidence").version()
        if version != self._evidence_seen:
            ids = set(self.store.table("evidence").read(["trace_id"])["trace_id"])
            made += self.outbox.wish(self._wishes(pack, ids, ids), now_us)
            self._evidence_seen = version
        return made

    def _wishes(self, pack: Pack, tagged: set[str], members: set[str]) -> list[Wish]:
        """What the tags of some traces and the memberships of others should be."""
        tagged, members = tagged if self.tags else set(), members if self.datasets else set()
        concerned = tagged | members
        if not concerned:
            return []
        standing, evidence, said = self._standing(concerned), self._evidence(concerned), self._candidates(members)
        wishes = [Wish("mlflow_tags", t, tags_of(pack, t, standing.get(t), evidence[t])) for t in sorted(tagged)]
        return wishes + [
            Wish("mlflow_datasets", t, membership_of(pack, t, standing.get(t), evidence[t], said.get(t))) for t in sorted(members)
        ]

    def _standing(self, trace_ids: set[str]) -> dict[str, dict[str, Any]]:
        rows = net_facts(self.store.table("facts").read(where=pl.col("trace_id").is_in(list(trace_ids))))
        return {row["trace_id"]: row for row in rows.iter_rows(named=True)}

    def _evidence(self, trace_ids: set[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        rows = self.store.table("evidence").read(["trace_id", "rule"], pl.col("trace_id").is_in(list(trace_ids)))
        for trace_id, rule in rows.iter_rows():
            found[trace_id].add(rule)
        return found

    def _candidates(self, trace_ids: set[str]) -> dict[str, str]:
        """What people say of these traces, by id: their own ``eval_candidate``."""
        rows = self.store.table("candidates").read(where=pl.col("trace_id").is_in(list(trace_ids)))
        last = rows.sort("arrived_us", "now_us", maintain_order=True).unique("trace_id", keep="last")
        return {t: c for t, c in last.select("trace_id", "candidate").iter_rows() if c is not None}


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


def membership_of(
    pack: Pack, trace_id: str, fact: dict[str, Any] | None, evidence: set[str], candidate: str | None = None
) -> dict[str, Any]:
    """The dataset categories a trace belongs to, each with the rules and versions that say so, or the person; none withdraws it.

    ``candidate`` is a person's own ``eval_candidate``.
    """
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
    if candidate is not None:
        entry = categories.setdefault(candidate, {"rules": [], "reason": "a person set eval_candidate"})
        entry["person"] = True
    return {
        "trace_id": trace_id, "start_us": fact["start_us"], "end_us": fact["end_us"],
        "experiment_id": fact["experiment_id"], "categories": categories,
    }  # fmt: skip

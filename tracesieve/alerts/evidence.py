"""Evidence: the traces behind a firing, picked once an episode, at its step to firing (SEMANTICS 17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.matcher import threshold_of
from rules.rule_set import WindowRule
from store import Store, net_facts
from tracesieve.alerts.histories import Group, episode_id

APP = "evidence"  # each commit to the table is numbered by this application's version, from 1
_COLUMNS = (
    "batch_id",
    "weight",
    "trace_id",
    "content_hash",
    "group_by",
    "group",
    "start_us",
    "end_us",
    "error",
    "duration_us",
    "tokens_total",
    "cost_nusd",
    "arrived_us",
    "hits",
)


@dataclass(frozen=True)
class Episode:
    """The step of one group of one rule to firing."""

    rule: WindowRule
    group: Group
    instant_us: int

    @property
    def id(self) -> str:
        """Its identity, whoever computes it."""
        return episode_id(self.rule.hash, self.group, self.instant_us)


class Evidence:
    """The one writer of the table ``evidence``."""

    def __init__(self, store: Store) -> None:
        self._facts, self._table = store.table("facts"), store.table("evidence")
        self._known = set(self._table.read(["episode"])["episode"].unique().to_list())
        self._number = self._table.app_version(APP) or 0

    def picked(self, episodes: set[str]) -> None:
        """These were picked for already: their verdicts are in, and evidence goes before its verdict."""
        self._known |= episodes

    def write(self, episodes: Sequence[Episode]) -> int:
        """Pick and append for the episodes that have none, in one commit; the number of rows."""
        new = [one for one in episodes if one.rule.evidence_tag and one.id not in self._known]
        if not new:
            return 0
        low, high = min(one.instant_us - one.rule.size_us for one in new), max(one.instant_us for one in new)
        facts = net_facts(
            self._facts.read(list(_COLUMNS), (pl.col("end_us") >= low) & (pl.col("end_us") < high))
        )
        rows = [row for one in new for row in _pick(one, facts)]
        if rows:
            self._table.append(rows, app_id=APP, version=self._number + 1)
            self._number += 1
        self._known |= {one.id for one in new}
        return len(rows)


def _pick(episode: Episode, facts: pl.DataFrame) -> list[dict[str, Any]]:
    """Failed traces for errors, those above the threshold, slowest first, for latency, the largest for tokens
    and cost.
    """
    rule, end = episode.rule, episode.instant_us
    facts = facts.filter((pl.col("end_us") >= end - rule.size_us) & (pl.col("end_us") < end))
    for index, key in enumerate(rule.by):
        position = pl.col("group_by").list.eval(pl.element() == key).list.arg_max()
        facts = facts.filter(pl.col("group").list.get(position, null_on_oob=True) == episode.group[index])
    if rule.where is not None:
        facts = facts.filter(
            pl.col("hits").list.eval(pl.element().struct.field("hash") == rule.hash).list.any()
        )
    fire = rule.fire.normal
    if "error" in fire:
        facts = facts.filter("error").sort("end_us", "trace_id", descending=[True, False])
    else:
        largest = "cost_nusd" if "cost" in fire else "tokens_total" if "tokens" in fire else "duration_us"
        limits = [threshold_of(rule.fire, name) for name in ("p50_ms", "p95_ms", "p99_ms")]
        limit = next((one for one in limits if one is not None), None)
        if largest == "duration_us" and limit is not None:
            facts = facts.filter(pl.col("duration_us") > limit * 1000)
        facts = facts.sort(largest, "trace_id", descending=[True, False], nulls_last=True)
    base = {
        "episode": episode.id,
        "rule": rule.id,
        "rule_hash": rule.hash,
        "group": list(episode.group),
        "instant_us": end,
    }
    picked = facts.head(rule.evidence_most).select("trace_id", "start_us").iter_rows()
    return [
        {**base, "trace_id": trace_id, "start_us": start, "rank": rank}
        for rank, (trace_id, start) in enumerate(picked)
    ]

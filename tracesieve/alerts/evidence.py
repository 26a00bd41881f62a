"""Evidence: the traces behind a firing, picked once an episode, at its step to firing (SEMANTICS 17).

Which traces it is says the rule (``AlertRule.choose_evidence``); here the choice is executed on facts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any

import polars as pl

from rules.alerting.evidence import EvidenceChoice
from rules.alerting.sums import TOKENS
from store import NETTED, Store, net_facts
from tracesieve.alerts.episodes import Episode

APP = "evidence"  # each commit to the table is numbered by this application's version, from 1
_COLUMNS = (
    *NETTED,
    "start_us",
    "end_us",
    "error",
    "duration_us",
    *(f"tokens_{kind}" for kind in TOKENS),
    "cost_nusd",
)
_OPERATORS: dict[str, Callable[[pl.Expr, Any], pl.Expr]] = {"=": eq, ">": gt, ">=": ge, "<": lt, "<=": le}


class Evidence:
    """The one writer of the table ``evidence``."""

    def __init__(self, store: Store) -> None:
        self._facts, self._table = store.table("facts"), store.table("evidence")
        self._known = set(self._table.read(["episode"])["episode"].unique().to_list())
        self._number = self._table.app_version(APP) or 0

    def picked(self, episodes: set[str]) -> None:
        """Evidence of these was picked already: their verdicts are in, and evidence goes before its
        verdict.
        """
        self._known |= episodes

    def write(self, episodes: Sequence[Episode]) -> int:
        """Pick and append for the episodes that have none, in one commit; the number of rows."""
        new = [one for one in episodes if one.rule.evidence is not None and one.id not in self._known]
        if not new:
            return 0
        low = min(one.instant_us - one.choice.within_us for one in new)
        high = max(one.instant_us for one in new)
        within = (pl.col("end_us") >= low) & (pl.col("end_us") < high)
        facts = net_facts(self._facts.read(list(_COLUMNS), within)).sort("end_us")
        rows = [row for one in new for row in _rows(one, facts)]
        if rows:
            self._table.append(rows, app_id=APP, version=self._number + 1)
            self._number += 1
        self._known |= {one.id for one in new}
        return len(rows)


def _rows(episode: Episode, facts: pl.DataFrame) -> list[dict[str, Any]]:
    """The evidence of an episode; ``facts`` are sorted by their end."""
    rule, end_us = episode.rule, episode.instant_us
    assert rule.evidence is not None
    edges = pl.Series([end_us - episode.choice.within_us, end_us])
    first, stop = facts["end_us"].search_sorted(edges, side="left").to_list()
    of_group = facts.slice(first, stop - first).filter(*_in_group(rule.by, episode.group))
    picked = _chosen(of_group, episode.choice).head(rule.evidence.most)
    base = {
        "episode": episode.id,
        "rule": rule.id,
        "rule_hash": rule.hash,
        "group": list(episode.group),
        "instant_us": episode.instant_us,
    }
    return [
        {**base, "trace_id": trace_id, "start_us": start, "rank": rank}
        for rank, (trace_id, start) in enumerate(picked.select("trace_id", "start_us").iter_rows())
    ]


def _in_group(by: Sequence[str], group: Sequence[str]) -> list[pl.Expr]:
    """That a fact, whatever keys it is grouped by, has a group's values."""
    found = []
    for key, value in zip(by, group, strict=True):
        position = pl.col("group_by").list.eval(pl.element() == key).list.arg_max()
        found.append(pl.col("group").list.get(position, null_on_oob=True) == value)
    return found


def _chosen(facts: pl.DataFrame, choice: EvidenceChoice) -> pl.DataFrame:
    """The facts of a choice, in its order."""
    wanted = [_OPERATORS[one.op](pl.col(one.column), one.value) for one in choice.filters]
    if choice.hit:
        wanted.append(pl.col("hits").list.eval(pl.element().struct.field("hash") == choice.hit).list.any())
    return facts.filter(*wanted).sort(
        choice.order_by, "trace_id", descending=[choice.largest_first, False], nulls_last=True
    )

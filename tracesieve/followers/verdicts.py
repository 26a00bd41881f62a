"""Verdicts: the history of every window rule and group, as a function of windows, and the evidence of each episode."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.histogram import add
from rules.matcher import threshold_of
from rules.model import Pack, WindowRule
from rules.sums import Window
from rules.verdicts import State, Verdict, history
from store import Store, net_facts
from store.windows import merge, regrouped

MINUTE_US = 60_000_000
_KEY = ("rule", "rule_hash", "by", "instant_us", "state", "since_us")


def episode_id(rule: WindowRule, group: Iterable[str], instant_us: int) -> str:
    """One firing of one group of one rule: 16 hex digits."""
    text = "\x1f".join([rule.hash, *group, str(instant_us)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class Verdicts:
    """Keeps ``verdicts`` and ``evidence`` equal to what windows and facts say, up to an instant."""

    store: Store
    revise_us: int

    def step(self, pack: Pack, through_us: int, now_us: int) -> int:
        """Bring the tables up to the last whole minute at or before ``through_us``; the number of rows written."""
        through = through_us // MINUTE_US * MINUTE_US
        first = through - self.revise_us
        longest = max((rule.size_us for rule in pack.window_rules), default=0)
        # What is kept in longer windows is older than any verdict that is still open (store/upkeep.py).
        inside = (pl.col("start_us") >= first - longest) & (pl.col("start_us") < through) & (pl.col("size_us") == MINUTE_US)
        windows = self.store.table("windows").read(where=inside)
        stored = net_verdicts(self.store.table("verdicts").read())
        final = {(row["rule_hash"], *row["group"]): row for row in stored if row["instant_us"] < first}
        wanted: list[dict[str, Any]] = []
        evidence: list[dict[str, Any]] = []
        for rule in pack.window_rules:
            for group, changes in self._histories(rule, windows, first, through, final).items():
                wanted += [_row(rule, group, change, now_us) for change in changes]
                evidence += [
                    {"episode": episode_id(rule, group, c.instant_us), "rule": rule, "group": group, "instant_us": c.instant_us}
                    for c in changes
                    if c.state.phase == "firing" and rule.evidence_tag
                ]
        written = self._write_evidence(evidence)
        hashes = {rule.hash for rule in pack.window_rules}
        known = [row for row in stored if row["instant_us"] >= first and row["rule_hash"] in hashes]
        written += self._write_difference(wanted, known, now_us)
        # What "late" is measured against (streams.batch.verdicts_through); one small commit a minute.
        self.store.table("verdicts").append([], app_id="instants", version=through, metadata={"instant_us": str(through)})
        return written

    def _histories(
        self, rule: WindowRule, windows: pl.DataFrame, first: int, through: int, final: dict[tuple[str, ...], dict[str, Any]]
    ) -> dict[tuple[str, ...], list[Verdict]]:
        """By group the changes at or after ``first``; each goes on from its last verdict before, which is final."""
        own = windows.filter(pl.col("rule_hash") == rule.partial_key)
        minutes = merge(regrouped(own, rule.by)) if own.height else own
        by_group: dict[tuple[str, ...], dict[int, dict[str, Any]]] = defaultdict(dict)
        for row in minutes.iter_rows(named=True):
            by_group[tuple(row["group"])][row["start_us"]] = row
        for key, row in final.items():  # what was firing and has had no trace since must still end
            if key[0] == rule.hash and row["by"] == ",".join(rule.by) and row["state"] != "inactive":
                by_group.setdefault(key[1:], {})
        found = {}
        for group, rows in by_group.items():
            start = _state(final.get((rule.hash, *group)), first)
            found[group] = history(rule, *_sliding(rule, rows, first, through, start is not None), start)
        return found

    def _write_difference(self, wanted: list[dict[str, Any]], known: list[dict[str, Any]], now_us: int) -> int:
        want = {_identity(row): row for row in wanted}
        have = {_identity(row): row for row in known}
        rows = [{**row, "weight": -1, "written_us": now_us} for key, row in have.items() if key not in want]
        rows += [row for key, row in want.items() if key not in have]
        self.store.table("verdicts").append(rows)
        return len(rows)

    def _write_evidence(self, episodes: list[dict[str, Any]]) -> int:
        table = self.store.table("evidence")
        ids = [item["episode"] for item in episodes]
        known = set(table.read(["episode"], pl.col("episode").is_in(ids))["episode"]) if ids else set()
        rows = [row for item in episodes if item["episode"] not in known for row in self._pick(item)]
        table.append(rows)
        return len(rows)

    def _pick(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The traces behind an episode's first firing window: failed ones, the slowest, or the largest (SEMANTICS 17)."""
        rule, end = item["rule"], item["instant_us"]
        inside = (pl.col("end_us") >= end - rule.size_us) & (pl.col("end_us") < end)
        facts = net_facts(self.store.table("facts").read(where=inside))
        for index, key in enumerate(rule.by):
            position = pl.col("group_by").str.split(",").list.eval(pl.element() == key).list.arg_max()
            facts = facts.filter(pl.col("group").list.get(position, null_on_oob=True) == item["group"][index])
        if rule.where is not None:
            facts = facts.filter(pl.col("hits").list.eval(pl.element().struct.field("hash") == rule.hash).list.any())
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
        base = {"episode": item["episode"], "rule": rule.id, "rule_hash": rule.hash, "group": list(item["group"])}
        picked = facts.head(rule.evidence_most).select("trace_id", "start_us").iter_rows()
        return [{**base, "instant_us": end, "trace_id": t, "start_us": s, "rank": n} for n, (t, s) in enumerate(picked)]


def net_verdicts(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of the verdicts changelog that stand, oldest first."""
    standing: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows.iter_rows(named=True):
        entry = standing.setdefault(_identity(row), [0, row])
        entry[0] += row["weight"]
        if row["weight"] > 0:
            entry[1] = row
    return sorted((row for weight, row in standing.values() if weight > 0), key=lambda row: row["instant_us"])


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return (*(row[name] for name in _KEY), tuple(row["group"]))


def _row(rule: WindowRule, group: tuple[str, ...], change: Verdict, now_us: int) -> dict[str, Any]:
    return {
        "weight": 1, "rule": rule.id, "rule_hash": rule.hash, "by": ",".join(rule.by), "group": list(group),
        "instant_us": change.instant_us, "state": change.state.phase, "since_us": change.state.since_us,
        "value": change.value, "traces": change.traces, "errors": change.errors, "written_us": now_us,
    }  # fmt: skip


def _state(row: dict[str, Any] | None, first: int) -> State | None:
    """The state that a final verdict left behind at ``first``; None if there is no such verdict."""
    if row is None:
        return None
    return State(row["state"], row["since_us"], row["instant_us"] if row["state"] == "firing" else None, first)


def _sliding(
    rule: WindowRule, minutes: dict[int, dict[str, Any]], first: int, through: int, going_on: bool
) -> tuple[dict[int, Window], range]:
    """By instant the sums of [e - size, e), from one-minute rows; and the grid from ``first``, or from the first data."""
    begin = first if going_on else max(first, min(minutes) + MINUTE_US)
    grid = range(-(-begin // rule.every_us) * rule.every_us, through + 1, rule.every_us)
    windows = {}
    for instant in grid:
        inside = [minutes[m] for m in range(instant - rule.size_us, instant, MINUTE_US) if m in minutes]
        if inside:
            counts: dict[int, int] = {}
            for row in inside:
                add(counts, row["bucket_index"], row["bucket_count"])
            names = ("traces", "errors", "tokens_total", "tokens_total_known", "cost_nusd", "cost_known")
            traces, errors, *rest = (sum(row[name] for row in inside) for name in names)
            windows[instant] = Window(traces, errors, counts, *rest)
    return windows, grid

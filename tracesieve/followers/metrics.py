"""Feeds ``/metrics`` from finished batches, windows, verdicts and the outbox; begins with the first batch after the start."""

from __future__ import annotations

from typing import Any

import polars as pl

from rules.histogram import add, quantile_us
from rules.model import Pack
from sinks.prometheus import MetricsState
from sinks.registry import SINKS
from store import Store
from store.outbox import Outbox
from store.windows import merge

MINUTE_US = 60_000_000
CLOSED_MINUTES = 5


class MetricsFollower:
    """Reads what is new in the store and moves the state; one thread."""

    def __init__(self, store: Store, state: MetricsState, stream_id: str) -> None:
        self._store, self._state, self._stream = store, state, stream_id
        self._cursor = self._last()
        self._outbox = Outbox(store)
        self._held: list[dict[str, Any]] = []

    def step(self, pack: Pack, now_us: int) -> None:
        """One pass."""
        last = self._last()
        if last > self._cursor or self._held:
            self._count(pack, self._cursor, last, now_us)
            self._cursor = last
        self._gauges(pack, now_us)

    def _mine(self) -> pl.Expr:
        return pl.col("stream_id") == self._stream

    def _last(self) -> int:
        highest = self._store.table("batches").read(["batch_id"], self._mine() & (pl.col("phase") == "end"))["batch_id"].max()
        return int(highest) if isinstance(highest, int) else -1

    def _count(self, pack: Pack, after: int, last: int, now_us: int) -> None:
        new = self._mine() & (pl.col("batch_id") > after) & (pl.col("batch_id") <= last)
        categories = {rule.id: rule.tag for rule in pack.trace_rules}
        facts = self._store.table("facts").read(where=new)
        self._held = [fact for fact in self._held if not self._observed(fact, categories, now_us)]
        amended = set(facts.filter(pl.col("weight") < 0)["trace_id"])
        for fact in facts.filter(pl.col("weight") > 0).iter_rows(named=True):
            if fact["trace_id"] not in amended and not self._observed(fact, categories, now_us):
                self._held.append(fact)
        for batch in self._store.table("batches").read(where=new & (pl.col("phase") == "end")).iter_rows(named=True):
            self._state.add_totals(batch)
        for reason, count in self._store.table("quarantine").read(["reason"], where=new).group_by("reason").len().iter_rows():
            self._state.quarantined(reason, count)

    def _observed(self, fact: dict[str, Any], categories: dict[str, str], now_us: int) -> bool:
        """Count a trace unless it is dated in the future (SEMANTICS 11)."""
        if fact["end_us"] >= now_us:
            return False
        self._state.observe_fact(fact, categories)
        return True

    def _gauges(self, pack: Pack, now_us: int) -> None:
        state, end = self._state, now_us // MINUTE_US * MINUTE_US
        state.set_gauge("tracesieve_rules_loaded", {(): float(len(pack.trace_rules) + len(pack.window_rules))})
        waiting: dict[tuple[str, ...], float] = {(sink,): float(self._outbox.count(sink)) for sink in SINKS}
        state.set_gauge("tracesieve_outbox_pending", waiting)
        alerts: dict[tuple[str, ...], float] = {(r.id, r.severity, "firing"): 0.0 for r in pack.window_rules}
        said = self._store.table("notifications").read().unique("episode", keep="last", maintain_order=True)
        for row in said.filter(pl.col("status") == "firing").iter_rows(named=True):
            key = (row["rule"], row["severity"], "firing")
            alerts[key] = alerts.get(key, 0.0) + 1
        state.set_gauge("tracesieve_alerts", alerts)
        through = self._store.table("batches").read(["arrived_through_us"])["arrived_through_us"].max()
        if isinstance(through, int):
            state.set_gauge("tracesieve_final_through_timestamp_seconds", {(): through / 1e6})
        self._windows(end)

    def _windows(self, end: int) -> None:
        inside = (
            (pl.col("start_us") >= end - CLOSED_MINUTES * MINUTE_US) & (pl.col("start_us") < end) & (pl.col("rule_hash") == "")
        )
        ratios: dict[tuple[str, ...], float] = {}
        quantiles: dict[tuple[str, ...], float] = {}
        rows = merge(self._store.table("windows").read(where=inside)) if self._store.table("windows").version() >= 0 else None
        if rows is None:
            return
        for (group,), part in rows.group_by("group"):
            key = self._state.capped(tuple(group))
            traces = int(part["traces"].sum())
            if traces > 0 and len(key) == len(self._state.labels):
                ratios[key] = int(part["errors"].sum()) / traces
                counts: dict[int, int] = {}
                for row in part.iter_rows(named=True):
                    add(counts, row["bucket_index"], row["bucket_count"])
                for q in (0.5, 0.95, 0.99):
                    value = quantile_us(counts, q)
                    if value is not None:
                        quantiles[(*key, str(q))] = value / 1e6
        self._state.set_gauge("tracesieve_window_error_ratio", ratios)
        self._state.set_gauge("tracesieve_window_duration_seconds", quantiles)
        self._state.set_gauge("tracesieve_window_end_timestamp_seconds", {(): end / 1e6})

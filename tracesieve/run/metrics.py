"""Feeds ``/metrics`` from whole batches; begins with the first batch after the start (SEMANTICS 24).

Counters move by new traces that are no backlog, an amendment by ``amended_total``, backlog by
``backfilled_traces_total``; the window gauges are of the last closed minutes and take all of them in. A trace
dated in the future is held back until its minute has come (SEMANTICS 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.alerting.sums import MEASURED, QUANTILES
from rules.alerting.windows import Minutes
from rules.rule_set import RuleSet
from rules.units import MINUTE_US
from sinks.prometheus.state import LabelValues, MetricsState
from sinks.registry import SINKS
from store import Store
from store.apply_log import APPLY
from store.batches import is_backlog
from store.errors import TailLost
from store.outbox import Outbox
from store.tail import Tail
from store.whole_batches import WholeBatches
from store.windows import merge

CLOSED_MINUTES = 5


@dataclass
class _Memory:
    """What is followed; made anew when a table can no longer be followed."""

    facts: WholeBatches
    windows: WholeBatches
    quarantine: Tail
    in_progress: Tail
    landing: Tail
    minutes: dict[LabelValues, Minutes]
    unfinished: dict[str, int]  # traces in progress of a Delta source, by id: their start
    experiments: dict[str, int]  # of an MLflow source, by id: how many are in progress


class MetricsFollower:
    """Reads what is new in the store and moves the state.

    It is used by one thread; what others share is the :class:`MetricsState`.
    """

    def __init__(
        self, store: Store, state: MetricsState, stream_id: str, outbox: Outbox, group_by: Sequence[str]
    ) -> None:
        self._store, self._state, self._stream, self._outbox = store, state, stream_id, outbox
        self._group_by = list(group_by)
        self._future: dict[str, dict[str, Any]] = {}  # facts that are not counted yet, by trace id
        self._memory: _Memory | None = self._opened()
        self._shown: tuple[int, int] = (-1, -1)

    def step(
        self, rule_set: RuleSet, now_us: int, final_us: int | None, alerts: Sequence[dict[str, Any]]
    ) -> None:
        """One pass; everything has been counted up to ``final_us``, ``alerts`` are the notifications of what
        fires.
        """
        try:
            memory = self._memory or self._opened()
            self._memory = None
            self._count(memory, rule_set, now_us)
            self._windows(memory, now_us)
            self._memory = memory
        except TailLost:
            return  # counters miss what was gone; the gauges are made anew by the next pass
        self._gauges(memory, rule_set, final_us, alerts)

    def _count(self, memory: _Memory, rule_set: RuleSet, now_us: int) -> None:
        ends, facts = memory.facts.poll()
        for end in ends:
            if end["stream_id"] == APPLY:
                continue  # no new trace
            self._state.add_totals(end)
        categories = {rule.id: rule.category or "" for rule in rule_set.trace_rules}
        self._state.expect((), categories)
        if facts is not None:
            self._take_new(memory, facts.filter(pl.col("stream_id") != APPLY), ends)
        this_minute = now_us // MINUTE_US
        due = [fact for fact in self._future.values() if fact["end_us"] // MINUTE_US <= this_minute]
        for fact in due:
            del self._future[fact["trace_id"]]
            self._state.observe_fact(fact, categories)
        self._count_side_outputs(memory)

    def _take_new(self, memory: _Memory, facts: pl.DataFrame, ends: Sequence[dict[str, Any]]) -> None:
        """Keep facts of new traces until their minute has come; amendments of counted ones are not new, and
        backlog is counted by its batch.
        """
        began = pl.DataFrame(
            [(end["batch_id"], end["run_began_us"]) for end in ends if end["stream_id"] != APPLY],
            schema={"batch_id": pl.Int64, "run_began_us": pl.Int64},
            orient="row",
        )
        facts = facts.join(began, on="batch_id", how="left", maintain_order="left")
        facts = facts.with_columns(is_backlog(pl.col("run_began_us")).alias("backlog"))
        withdrawn: set[str] = set()
        for fact in facts.iter_rows(named=True):
            if fact["weight"] < 0:
                if self._future.pop(fact["trace_id"], None) is None:
                    withdrawn.add(fact["trace_id"])
                continue
            memory.unfinished.pop(fact["trace_id"], None)
            # Weight 0: left out, or a content that does not stand.
            if fact["weight"] > 0 and fact["trace_id"] not in withdrawn and not fact["backlog"]:
                self._future[fact["trace_id"]] = fact

    def _count_side_outputs(self, memory: _Memory) -> None:
        """What was refused, what is unfinished, and what landing reports."""
        refused = memory.quarantine.rows()
        if refused is not None:
            for reason, count in refused.group_by("reason").len().iter_rows():
                self._state.quarantined(reason, count)
        unfinished = memory.in_progress.rows()
        if unfinished is not None:
            memory.unfinished.update(unfinished.select("trace_id", "start_us").iter_rows())
        landing = memory.landing.rows()
        if landing is not None:
            memory.experiments.update(landing.select("experiment_id", "in_progress").iter_rows())

    def _windows(self, memory: _Memory, now_us: int) -> None:
        _, rows = memory.windows.poll()
        if rows is not None:
            self._add(memory, rows)
        end = now_us // MINUTE_US * MINUTE_US
        if self._shown == (end, memory.windows.through):
            return
        self._shown = end, memory.windows.through
        ratios: dict[LabelValues, float] = {}
        quantiles: dict[LabelValues, float] = {}
        for key, minutes in list(memory.minutes.items()):
            minutes.forget_before(end - CLOSED_MINUTES * MINUTE_US)
            if not minutes:
                del memory.minutes[key]
            _, window = minutes.read(CLOSED_MINUTES * MINUTE_US, range(end, end + 1), QUANTILES)
            if len(window) and window.sum_of("traces")[0] > 0:
                measures = window.measures()
                ratios[key] = float(measures["error_rate"][0])
                for name, q in QUANTILES.items():
                    if (value_ms := float(measures[name][0])) == value_ms:
                        quantiles[(*key, str(q))] = value_ms / 1e3
        self._state.set_gauges(
            {
                "tracesieve_window_error_ratio": ratios,
                "tracesieve_window_duration_seconds": quantiles,
                "tracesieve_window_end_timestamp_seconds": {(): end / 1e6},
            }
        )

    def _add(self, memory: _Memory, windows: pl.DataFrame) -> None:
        """Groups beyond a label's cap share one series, so they are added up under what the label says."""
        own = (
            (pl.col("rule_hash") == "")
            & (pl.col("group_by") == pl.lit(self._group_by, dtype=pl.List(pl.String)))
            & (pl.col("size_us") == MINUTE_US)
        )
        merged = merge(windows.filter(own))
        self._state.expect({tuple(group) for group in merged["group"].to_list()}, {})
        lists = (merged[name].to_list() for name in ("group", "start_us", "bucket_index", "bucket_count"))
        for group, start, index, count, sums in zip(*lists, merged.select(MEASURED).rows(), strict=True):
            memory.minutes.setdefault(self._state.capped(group), Minutes()).add(start, sums, index, count)

    def _gauges(
        self, memory: _Memory, rule_set: RuleSet, final_us: int | None, alerts: Sequence[dict[str, Any]]
    ) -> None:
        waiting = dict.fromkeys(SINKS, 0) | self._outbox.counts()
        firing: dict[LabelValues, float] = {
            (rule.id, rule.severity, "firing"): 0.0 for rule in rule_set.alert_rules
        }
        for row in alerts:
            key = (row["rule"], row["severity"], "firing")
            firing[key] = firing.get(key, 0.0) + 1
        unfinished = len(memory.unfinished) + sum(memory.experiments.values())
        gauges: dict[str, dict[LabelValues, float]] = {
            "tracesieve_rules_loaded": {(): float(sum(rule.dataset is None for rule in rule_set.rules))},
            "tracesieve_outbox_pending": {(sink,): float(count) for sink, count in waiting.items()},
            "tracesieve_alerts": firing,
            "tracesieve_in_progress_traces": {(): float(unfinished)},
        }
        if final_us is not None:
            gauges["tracesieve_final_through_timestamp_seconds"] = {(): final_us / 1e6}
        self._state.set_gauges(gauges)

    def _opened(self) -> _Memory:
        tails = {name: Tail(self._store.table(name)) for name in ("quarantine", "in_progress", "landing")}
        facts, windows = (WholeBatches(self._store, name, self._stream) for name in ("facts", "windows"))
        landing = self._store.table("landing").read(["experiment_id", "in_progress", "at_us"]).sort("at_us")
        experiments = {experiment: number for experiment, number, _ in landing.iter_rows()}
        unfinished = self._unfinished()
        memory = _Memory(facts, windows, **tails, minutes={}, unfinished=unfinished, experiments=experiments)
        last = windows.ends["now_us"].max()
        # What ended long before the last batch is in no window that is still shown.
        since = (last if isinstance(last, int) else 0) - (CLOSED_MINUTES + 1) * MINUTE_US
        self._add(memory, windows.known(pl.col("start_us") >= since))
        return memory

    def _unfinished(self) -> dict[str, int]:
        """The traces of a Delta source that are in progress and have no fact yet, with their start."""
        rows = self._store.table("in_progress").read(["trace_id", "start_us"])
        if rows.height:
            ids = pl.col("trace_id").is_in(rows["trace_id"].unique().implode())
            since = pl.col("start_us") >= rows["start_us"].min()
            ended = self._store.table("facts").read(["trace_id"], since & ids)
            rows = rows.join(ended, on="trace_id", how="anti")
        return dict(rows.iter_rows())

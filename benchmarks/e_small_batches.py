"""5,000 small batches on one store: a batch's time, a report's, memory and files, the last hundred against
the first.

The first hundred are timed twice: at the start, and again on a new store, one by one between the last
hundred, since a machine's own speed moves by more in half an hour than what is measured. The goal is about
the second.

Everything of a batch but Spark's own reading and matching (about a second of a trigger, the same for the
first and the last) is run as a live run does it: the batch function with its begin row, facts, windows and
end row, all followers, a sink that takes every message, and maintenance, one table every fifth batch.
Time in the store is 2 seconds a batch.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import Options, goal, median, say
from rules.groups import DEFAULT_GROUP_BY
from rules.loading.packs import load_packs
from rules.rule_set import RuleSet
from rules.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from sinks.base import MessageKind
from sinks.prometheus.state import MetricsState
from sinks.registry import SINKS, consumes
from store import Store, open_store
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.schedule import Maintenance
from store.outbox import Ack, Outbox
from store.rule_sets import RuleSets
from store.schemas import HIT, TABLES
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, process_batch
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.analysis.report import report
from tracesieve.datasets.memberships import TagsAndMemberships
from tracesieve.run.metrics import MetricsFollower

BATCHES = 5_000
PART = 100
BEGIN_US = 1_795_132_800_000_000
STEP_US = 2 * SECOND_US
TRACES = 20


def run(options: Options) -> dict[str, Any]:
    """The scenario's figures."""
    batches = options.sized(BATCHES)
    part = min(PART, batches // 2)
    rule_set = load_packs(["packs/default"], DEFAULT_GROUP_BY).rule_set
    assert rule_set is not None
    options.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder) as folder:
        return _measured(Path(folder), rule_set, batches, part)


def _measured(folder: Path, rule_set: RuleSet, batches: int, part: int) -> dict[str, Any]:
    monitor, new = Monitor(folder / "store", rule_set), Monitor(folder / "new", rule_set)
    marks: dict[str, dict[str, Any]] = {}
    most_files: dict[str, int] = {}
    for number in range(batches):
        monitor.timed(number)
        if number % 50 == 49 or number + 1 == batches:
            most_files = {
                name: max(files, most_files.get(name, 0)) for name, files in monitor.files().items()
            }
        if number + 1 in (part, batches):
            marks["first" if number + 1 == part else "last"] = monitor.looked_at(number)
        if (number + 1) % 250 == 0:
            say(f"e: {number + 1} batches, the last hundred {median(monitor.seconds[-100:])} s each")
        if number >= batches - part:
            new.timed(number - (batches - part))
    first, beside, last = (
        median(some) for some in (monitor.seconds[1:part], new.seconds[1:], monitor.seconds[1 - part :])
    )
    return {
        "batches": batches,
        "traces": batches * TRACES,
        "batch_s": {"first": first, "first_beside_last": beside, "last": last},
        "last_over_first_of_the_run": round(last / first, 2),
        "maintenance_s_per_batch": round(monitor.maintenance_s / batches, 3),
        "report_s": {name: mark["report_s"] for name, mark in marks.items()},
        "memory_mb": {name: mark["memory_mb"] for name, mark in marks.items()},
        "most_files": most_files,
        "goals": {
            "last_over_first": goal(last / beside, at_most=1.2),
            "report_s": goal(marks["last"]["report_s"], at_most=2.0),
            "files_of_a_table": goal(max(most_files.values()), at_most=300),
        },
    }


class Monitor:
    """A live run without Spark: batches, followers, a sink that takes everything, maintenance."""

    def __init__(self, path: Path, rule_set: RuleSet) -> None:
        self.rule_set = rule_set
        self.store: Store = open_store(str(path))
        RuleSets(self.store).put(rule_set, DEFAULT_GROUP_BY, 1)
        config = BatchConfig(str(path), "bench", str(path / "checkpoint"), group_by=DEFAULT_GROUP_BY)
        self.outbox = Outbox(self.store)
        self.verdicts = Verdicts(self.store, "bench", 2 * DAY_US)
        alerts, notifications, tags, memberships = (
            [name for name in SINKS if consumes(name, kind)] for kind in MessageKind
        )
        self.delivering = [*alerts, *tags, *memberships]
        self.notifications = Notifications(
            self.store, self.outbox, HOUR_US, alerts, notifications, self.verdicts.held_us
        )
        self.messages = TagsAndMemberships(self.store, self.outbox, "bench", tags, memberships)
        self.metrics = MetricsFollower(
            self.store, MetricsState(DEFAULT_GROUP_BY), "bench", self.outbox, DEFAULT_GROUP_BY
        )
        self.maintenance = Maintenance(
            self.store, MaintenanceNeeds(longest_window_us=lambda: 10 * MINUTE_US, messages=True)
        )
        self.hits = [{"rule": rule.id, "hash": rule.hash} for rule in rule_set.trace_rules]
        self._now_us = BEGIN_US
        # Spark's part is done by _narrow.
        self.worker = BatchWorker(config, lambda: self._now_us, lambda rows: rows)
        self.seconds: list[float] = []  # of each batch
        self.maintenance_s = 0.0

    def now(self, number: int) -> int:
        """The store's time at a batch, µs."""
        return BEGIN_US + number * STEP_US

    def timed(self, number: int) -> None:
        """One trigger, and maintenance of a table after every fifth."""
        began = time.perf_counter()
        self.batch(number)
        self.seconds.append(time.perf_counter() - began)
        if number % 5 == 4:
            began = time.perf_counter()
            self.maintenance.step(self.now(number))
            self.maintenance_s += time.perf_counter() - began

    def batch(self, number: int) -> None:
        """One trigger: the batch, and what follows from it."""
        now = self._now_us = self.now(number)
        process_batch(_narrow(number, now, self.hits), number, self.worker)
        self.verdicts.step(self.rule_set, now - STEP_US, now)
        self.notifications.step(self.rule_set, now, self.verdicts.evaluated())
        self.messages.step(self.rule_set, now)
        for sink in self.delivering:
            self.outbox.ack([Ack(message, "delivered") for message in self.outbox.pending(sink)], now)
        self.metrics.step(self.rule_set, now, now, self.notifications.alerts())

    def files(self) -> dict[str, int]:
        """How many data files each table has."""
        handles = {name: self.store.table(name).fresh() for name in TABLES}
        return {name: len(handle.file_uris()) for name, handle in handles.items() if handle is not None}

    def looked_at(self, number: int) -> dict[str, Any]:
        """A report over the last day, the median of three, and the memory of this process."""
        now, seconds = self.now(number), []
        for _ in range(3):
            began = time.perf_counter()
            found = report(open_store(self.store.path), now - DAY_US, now, [], now)
            seconds.append(time.perf_counter() - began)
        counted = (number + 1) * TRACES
        assert counted - 2 * TRACES <= found["traces"] <= counted, (found["traces"], counted)
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        memory = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), None)
        return {"report_s": median(seconds), "memory_mb": memory}


def _narrow(number: int, now_us: int, hits: list[dict[str, str]]) -> pa.Table:
    """What Spark would hand over of a batch's traces: some fail, some are slow, all ended within the last
    minute or so.
    """
    rng = np.random.default_rng([7, number])
    duration_ms = rng.lognormal(7.0, 0.8, TRACES)
    failed = rng.random(TRACES) < 0.05
    end = now_us - rng.integers(1, 3 * STEP_US, TRACES)
    start = np.maximum(end - (duration_ms * 1000).astype(np.int64), 1)
    columns: dict[str, Any] = {
        "trace_id": pa.array([f"tr-{number:06d}-{i:02d}" for i in range(TRACES)]),
        "experiment_id": pa.array(["1"] * TRACES),
        "experiment": pa.array(["support"] * TRACES),
        "group": pa.array(
            [["support", f"agent-{i % 5}", "production" if i % 2 else "staging"] for i in range(TRACES)]
        ),
        "start_us": pa.array(start),
        "duration_ms": pa.array(duration_ms),
        "state": pa.array(np.where(failed, "ERROR", "OK")),
        "landed_us": pa.array(np.full(TRACES, now_us - 1)),
        "content_hash": pa.array(rng.integers(0, 1 << 60, TRACES)),
        "change_us": pa.array(end),
        "tokens_total": pa.array(rng.integers(100, 9000, TRACES)),
        "hits": pa.array([hits[:1] if one else [] for one in failed], pa.list_(HIT)),
    }
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(TRACES, field.type)
        for field in NARROW
    ]
    return pa.table(arrays, schema=NARROW)

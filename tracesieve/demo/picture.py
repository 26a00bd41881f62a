"""What the demo has come to, read from the tables of its store as any follower reads them, without Spark."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.rule_set import SEVERITY_ORDER
from rules.units import MINUTE_US
from sinks.base import MessageKind
from sinks.registry import consumes
from store import Store, StoreError, net_facts, open_store
from tracesieve.alerts.listing import list_alerts
from tracesieve.analysis.report import report
from tracesieve.demo.stage import Stage

MINUTES = 30


@dataclass(frozen=True)
class Picture:
    """The last half hour, every alert, what was delivered.

    Attributes:
        report: the document of ``report --json``; None before there is a store.
        minutes: (traces, errors) by the minute in which they ended, oldest first.
        alerts: as ``alerts list`` gives them.
        tagged: how many traces bear tags.
        datasets: records by dataset.
    """

    report: dict[str, Any] | None = None
    minutes: list[tuple[int, int]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    tagged: int = 0
    datasets: dict[str, int] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """An alert fired, traces are tagged and datasets hold records."""
        return bool(self.alerts and self.tagged and self.datasets)

    @property
    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire now, the most severe first."""
        return sorted(
            (one for one in self.alerts if one["status"] == "firing"),
            key=lambda one: -SEVERITY_ORDER[one["severity"]],
        )


def read_picture(stage: Stage) -> Picture:
    """The picture as the store has it now."""
    try:
        store = open_store(str(stage.folder / "store"), create=False)
    except StoreError:
        return Picture()
    now_us = time.time_ns() // 1000
    deliveries = store.table("deliveries").read(["sink", "target", "outcome"])
    tagging = [name for name in deliveries["sink"].unique() if consumes(name, MessageKind.TAGS)]
    of_tags = pl.col("sink").is_in(tagging)
    tagged = deliveries.filter(of_tags & (pl.col("outcome") == "delivered"))["target"].n_unique()
    records = store.table("records").read(["dataset", "record"]).unique()
    return Picture(
        report(store, now_us - MINUTES * MINUTE_US, now_us, [], now_us),
        _minutes(store, now_us),
        list_alerts(store),
        tagged,
        dict(sorted(Counter(records["dataset"]).items())),
    )


def _minutes(store: Store, now_us: int) -> list[tuple[int, int]]:
    facts = net_facts(store.table("facts").read(where=pl.col("end_us") >= now_us - MINUTES * MINUTE_US))
    ended = Counter(facts["end_us"] // MINUTE_US)
    failed = Counter(facts.filter(pl.col("error"))["end_us"] // MINUTE_US)
    last = now_us // MINUTE_US
    return [(ended[minute], failed[minute]) for minute in range(last - MINUTES + 1, last + 1)]

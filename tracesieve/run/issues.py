"""Exactly once: the follower that says of each error pattern whether it is open, resolved or back.

It decides from facts alone (:mod:`tracesieve.analysis.pattern_states`) and from its own last messages, which
the outbox keeps. All failures are looked at each time, so it does so at most once a minute, is at it for at
most a tenth of the time, and waits for an hour where nothing new was counted.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import polars as pl

from rules.units import HOUR_US, MINUTE_US
from sinks import registry
from sinks.base import MessageKind
from store import Store
from store.outbox import OutboxMessage
from tracesieve.analysis.error_patterns import failures_until
from tracesieve.analysis.pattern_states import Decided, by_experiment, decisions
from tracesieve.run.parts import Run

EVERY_US = MINUTE_US
_SHARE = 10


@dataclass
class PatternFollower:
    """Writes the messages about error patterns; use it from one thread."""

    run: Run
    sinks: list[str]
    _due_us: int = 0
    _again_us: int = 0  # though nothing new was counted
    _seen: int | None = None  # the version of facts that was looked at
    _decided: dict[str, Decided] | None = None  # None: to be read; nobody else writes them meanwhile

    def step(self, now_us: int) -> None:
        """Look once more where it is due.

        Raises:
            StoreUnwritable: the store cannot be written; the next call tries again.
        """
        version = self.run.store.table("facts").version()
        if version < 0 or now_us < self._due_us or (version == self._seen and now_us < self._again_us):
            return
        began_s = time.monotonic()
        self.decide(now_us)
        took_us = int((time.monotonic() - began_s) * 1_000_000)
        self._seen, self._again_us = version, now_us + HOUR_US
        self._due_us = now_us + max(EVERY_US, _SHARE * took_us)

    def decide(self, now_us: int) -> int:
        """Write what is to be said anew; how many messages that were.

        Raises:
            StoreUnwritable: the store cannot be written.
        """
        store = self.run.store
        decided = self._decided if self._decided is not None else _last(store, self.sinks)
        self._decided = None  # until what follows is written
        failures = failures_until(store, now_us, "experiment_id")
        found = decisions(failures, decided, _Came(store, now_us), now_us)
        self.run.lease.check()
        messages = [
            OutboxMessage(sink, target, payload) for target, payload in found.items() for sink in self.sinks
        ]
        written = self.run.outbox.enqueue(messages, now_us) if messages else 0
        self._decided = decided | {target: Decided(payload, now_us) for target, payload in found.items()}
        return written


def _last(store: Store, sinks: list[str]) -> dict[str, Decided]:
    """The last decision on each target, without what was withdrawn."""
    columns = ["seq", "sink", "target", "payload", "created_us"]
    rows = store.table("outbox").read(columns, pl.col("sink").is_in(sinks)).sort("seq")
    found: dict[str, Decided] = {}
    for row in rows.unique("target", keep="last", maintain_order=True).iter_rows(named=True):
        payload = json.loads(row["payload"])
        if not registry.is_withdrawal(row["sink"], payload):
            found[row["target"]] = Decided(payload, row["created_us"])
    return found


class _Came:
    """Whether traces of an experiment ended at a time or later; facts are read at the first question."""

    def __init__(self, store: Store, now_us: int) -> None:
        self._store, self._now_us = store, now_us
        self._last_us: dict[str, int] | None = None

    def __call__(self, experiment_id: str, since_us: int) -> bool:
        if self._last_us is None:
            counted = (pl.col("end_us") < self._now_us) & (pl.col("weight") > 0)
            facts = self._store.table("facts").read(["experiment_id", "end_us"], counted)
            self._last_us = by_experiment(facts)
        return self._last_us.get(experiment_id, 0) >= since_us


def pattern_follower(run: Run) -> PatternFollower | None:
    """The follower of a run; None where no sink takes what it says."""
    sinks = registry.names(run.settings.sinks, MessageKind.PATTERN, dry_run=run.dry_run)
    return PatternFollower(run, sinks) if sinks else None


def decide_at_end(run: Run, now_us: int) -> None:
    """Look once, at the end of what ``run --once`` counted."""
    follower = pattern_follower(run)
    if follower is not None:
        follower.decide(now_us)

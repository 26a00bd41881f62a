"""Notifications: the log of what was notified of alerts, written by comparing verdicts with that log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.alerting.contract import AlertRule
from rules.rule_set import RuleSet
from store import Store
from store.errors import TailLost
from store.outbox import Outbox
from tracesieve.alerts.difference import Present, difference
from tracesieve.alerts.episodes import Group, RuleGroup
from tracesieve.alerts.notification_log import NotificationLog, Row
from tracesieve.alerts.publisher import Publisher
from tracesieve.alerts.verdict_log import VerdictLog


@dataclass
class _Memory:
    """What a step compares; made anew after a failure."""

    verdicts: VerdictLog
    log: NotificationLog
    first: set[RuleGroup]  # what was notified as firing before: its verdict may be gone since


@dataclass
class Notifications:
    """Notifies each firing and each resolution once; those that are new enough to page go to receivers.

    ``alert_sinks`` are the names of the sinks that get the alerts that page, ``notification_sinks`` of those
    that get every firing and resolution. ``held_us`` says when the condition of a firing group last held:
    what began long ago but goes on still pages. ``quiet_us`` says up to when an alert of a rule may come of
    rules that were applied to the past. All but :meth:`firing` belongs to the follower's thread.
    """

    store: Store
    outbox: Outbox
    page_if_newer_us: int
    alert_sinks: Sequence[str]
    notification_sinks: Sequence[str]
    held_us: Callable[[str, Group], int | None] = field(default=lambda _rule, _group: None)
    dry_run: bool = False
    quiet_us: Callable[[AlertRule, int], int] = field(default=lambda _rule, _now_us: 0)
    _memory: _Memory | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._publisher = Publisher(self.outbox, self.alert_sinks, self.notification_sinks)

    def step(self, rule_set: RuleSet, now_us: int, evaluated: Collection[str] | None = None) -> list[Row]:
        """Write what is due; the rows that were written.

        ``evaluated`` are the rules (hashes) that have been evaluated since they were loaded, None: all.
        """
        memory = self._memory or self._opened()
        self._memory = None  # until this step is through: a failure in it leaves nothing half-done behind
        try:
            changed = memory.verdicts.follow() | memory.first | memory.log.unpaged_groups()
        except TailLost:
            return self.step(rule_set, now_us, evaluated)
        present = Present(
            {rule.hash: rule for rule in rule_set.alert_rules},
            self._evidence_of,
            self.held_us,
            lambda rule: self.quiet_us(rule, now_us),
            self.page_if_newer_us,
            now_us,
            self.dry_run,
        )
        new = [
            row
            for key in sorted(changed)
            for row in difference(key, memory.verdicts.rows(key), memory.log, present)
        ]
        try:
            self.store.table("notifications").append(new)
            for row in new:
                memory.log.add(row)
            self._publisher.publish(memory.log, new, rule_set, evaluated, now_us)
        except BaseException:
            self._publisher.repeat()  # what was written and not published is found again
            raise
        memory.first = set()
        self._memory = memory
        return new

    def firing(self) -> Mapping[str, dict[str, Any]]:
        """The alerts that receivers should hold as firing: payloads by target; from any thread."""
        return self._publisher.firing()

    def alerts(self) -> list[Row]:
        """The last notification of every episode that fires."""
        if self._memory is None:
            return []
        return self._memory.log.every_firing()

    def _opened(self) -> _Memory:
        log = NotificationLog(self.store.table("notifications").read())
        return _Memory(VerdictLog(self.store), log, log.firing_groups())

    def _evidence_of(self, episode: str) -> list[str]:
        rows = self.store.table("evidence").read(["trace_id", "rank"], pl.col("episode") == episode)
        return rows.sort("rank")["trace_id"].to_list()

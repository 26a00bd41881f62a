"""Publishing notifications: messages in the outbox, and a snapshot of what fires for the threads of sinks.

The follower's thread publishes. A sink's thread that sends firing alerts again reads
:meth:`Publisher.firing`, an immutable snapshot that is replaced as a whole; the two threads share nothing
else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rules.rule_set import RuleSet
from store.outbox import Outbox, OutboxMessage
from tracesieve.alerts.difference import DRY_RUN
from tracesieve.alerts.notification_log import NotificationLog, Row, payload_of, target_of

_NONE: Mapping[str, dict[str, Any]] = MappingProxyType({})


class Publisher:
    """Publishes what is in a :class:`NotificationLog`, each notification once.

    A message that is in the outbox already is not put there again, so publishing may be repeated at any time.
    """

    def __init__(self, outbox: Outbox, alert_sinks: Sequence[str], notification_sinks: Sequence[str]) -> None:
        self._outbox = outbox
        self._alert_sinks, self._notification_sinks = tuple(alert_sinks), tuple(notification_sinks)
        self._waiting: frozenset[str] = frozenset()  # targets whose end waits for the rule's new version
        self._complete = False  # whether all that was notified before is known to be in the outbox
        self._firing = _NONE

    def firing(self) -> Mapping[str, dict[str, Any]]:
        """The alerts that receivers should hold as firing: payloads by target; from any thread."""
        return self._firing

    def repeat(self) -> None:
        """The next :meth:`publish` publishes everything: a failure may have come before some message."""
        self._complete = False

    def publish(
        self,
        log: NotificationLog,
        new: Sequence[Row],
        rule_set: RuleSet,
        evaluated: Collection[str] | None,
        now_us: int,
    ) -> None:
        """Publish what is new in the log; the first time, and after :meth:`repeat`, all of it.

        ``evaluated`` are the rules (hashes) that have been evaluated since they were loaded, None: all.
        """
        complete = self._complete
        rows = new if complete else log.every_last()
        self._outbox.enqueue(self._notifications(rows), now_us)
        targets = {target_of(row) for row in new} | self._waiting if complete else log.targets()
        if targets:
            still = {one for one in targets if _waits(log.of_target(one), rule_set, evaluated, now_us)}
            self._waiting = self._waiting - targets | still
            self._outbox.enqueue(self._alerts(log, sorted(targets)), now_us)
        if targets or not complete:
            self._firing = MappingProxyType(self._snapshot(log))
        self._complete = True

    def _alerts(self, log: NotificationLog, targets: Sequence[str]) -> list[OutboxMessage]:
        rows = ((target, self._standing(log, target)) for target in targets)
        payloads = [(target, payload_of(row)) for target, row in rows if row["paged"]]
        return [OutboxMessage(sink, *one) for one in payloads for sink in self._alert_sinks]

    def _notifications(self, rows: Sequence[Row]) -> list[OutboxMessage]:
        payloads = [(row["key"], {**payload_of(row), **_who_is_paged(row)}) for row in rows]
        return [OutboxMessage(sink, *one) for one in payloads for sink in self._notification_sinks]

    def _snapshot(self, log: NotificationLog) -> dict[str, dict[str, Any]]:
        rows = {target: self._standing(log, target) for target in log.targets()}
        return {
            target: payload_of(row)
            for target, row in rows.items()
            if row["status"] == "firing" and row["paged"]
        }

    def _standing(self, log: NotificationLog, target: str) -> Row:
        """What receivers should know of a target: an alert whose end waits goes on firing."""
        row = log.of_target(target)
        return {**row, "status": "firing"} if target in self._waiting else row


def _who_is_paged(row: Row) -> dict[str, Any]:
    """``paged``; a dry run says so.  A message's key is over all of this: one more key would send the past
    again.
    """
    return {"paged": row["paged"], **({"dry_run": True} if row["reason"] == DRY_RUN else {})}


def _waits(row: Row, rule_set: RuleSet, evaluated: Collection[str] | None, now_us: int) -> bool:
    """Whether the end of an edited rule's alert waits until the rule's new version has been evaluated.

    It waits no longer than a group may be without data: then there is none, and the alert ends for that.
    """
    if row["status"] != "resolved" or row["reason"] != "superseded" or evaluated is None:
        return False
    return any(
        rule.hash not in evaluated and now_us - row["notified_us"] < rule.silent_after_us
        for rule in rule_set.alert_rules
        if rule.id == row["rule"] and list(rule.by) == row["by"]
    )

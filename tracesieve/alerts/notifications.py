"""Notifications: the log of what was said about alerts, made by comparing verdicts with what was said
before.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.groups import label_names
from rules.rule_set import RuleSet, WindowRule
from store import Store
from store.outbox import Outbox, OutboxMessage
from store.tail import TailLost
from tracesieve.alerts.histories import Group, Key, episode_id
from tracesieve.alerts.verdict_log import Row, VerdictLog

Held = Callable[[str, Group], int | None]


class _Said:
    """What was said last of each episode, by rule version and group, and by what Alertmanager takes for one
    alert.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.episodes: dict[str, Row] = {}
        self.firing: dict[Key, set[str]] = {}
        self.targets: dict[str, set[str]] = {}
        for row in rows.sort("notified_us", maintain_order=True).iter_rows(named=True):
            self.add(row)

    def add(self, row: Row) -> None:
        episode, key = row["episode"], (row["rule_hash"], tuple(row["group"]))
        self.episodes[episode] = row
        self.targets.setdefault(target_of(row), set()).add(episode)
        of_key = self.firing.setdefault(key, set())
        of_key.add(episode) if row["status"] == "firing" else of_key.discard(episode)

    def of_target(self, target: str) -> Row:
        """What stands for a target: an episode that fires, else the one that began last."""
        rows = (self.episodes[episode] for episode in self.targets[target])
        return max(rows, key=lambda row: (row["status"] == "firing", row["starts_us"], row["notified_us"]))


@dataclass
class Notifications:
    """Says each firing and each resolution once; alerts go to the outbox when they are new enough to page
    anyone.

    ``alert_sinks`` are the names of the sinks that get the alerts that page, ``notification_sinks`` of those
    that get every firing and resolution.  ``held`` tells when the condition of a firing group last held: what
    began long ago but goes on still pages.
    """

    store: Store
    outbox: Outbox
    page_if_newer_us: int
    alert_sinks: Sequence[str]
    notification_sinks: Sequence[str]
    held: Held = field(default=lambda _rule, _group: None)
    _log: VerdictLog | None = field(default=None, repr=False)
    _said: _Said | None = field(default=None, repr=False)
    _deferred: dict[str, set[str]] = field(
        default_factory=dict, repr=False
    )  # by target: rule versions to be waited for
    _told: bool = field(
        default=False, repr=False
    )  # whether all that was said before this process has been wished for
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def step(self, rule_set: RuleSet, now_us: int, evaluated: Collection[str] | None = None) -> list[Row]:
        """Write what is new; the rows that were written.

        ``evaluated`` are the rules (hashes) that have been evaluated since they were loaded, None: all.
        """
        try:
            changed = self._changed()
        except TailLost:
            self._log = None
            changed = self._changed()
        said, verdicts = self._state()
        rules = {rule.hash: rule for rule in rule_set.window_rules}
        new = [row for key in sorted(changed) for row in self._news(said, verdicts, key, rules, now_us)]
        try:
            self.store.table("notifications").append(new)
            with self._lock:
                for row in new:
                    said.add(row)
            self._note(new if self._told else list(said.episodes.values()), now_us)
            self._tell(said, rule_set, {target_of(row) for row in new}, evaluated, now_us)
        except BaseException:
            self._log, self._told = None, False  # what was not written or wished is found again
            raise
        return new

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that Alertmanager should hold as firing, as its sink takes them, by target; from any
        thread.
        """
        if self._said is None:
            return {}
        with self._lock:
            rows = {target: self._standing(self._said, target) for target in self._said.targets}
        return {
            target: payload_of(row)
            for target, row in rows.items()
            if row["status"] == "firing" and row["paged"]
        }

    def alerts(self) -> list[Row]:
        """What was said last of every episode that fires."""
        if self._said is None:
            return []
        return [
            self._said.episodes[episode] for episodes in self._said.firing.values() for episode in episodes
        ]

    def _changed(self) -> set[Key]:
        if self._log is None:
            self._log, self._said = VerdictLog(self.store), None
        if self._said is None:
            said = _Said(self.store.table("notifications").read())
            self._said = said
            return self._log.follow() | {key for key, episodes in said.firing.items() if episodes}
        return self._log.follow()

    def _state(self) -> tuple[_Said, VerdictLog]:
        assert self._said is not None
        assert self._log is not None
        return self._said, self._log

    def _news(
        self, said: _Said, verdicts: VerdictLog, key: Key, rules: dict[str, WindowRule], now_us: int
    ) -> list[Row]:
        rows = verdicts.rows(key)
        standing = None
        new: list[Row] = []
        if rows and rows[-1]["state"] == "firing":
            standing = episode_id(*key, rows[-1]["instant_us"])
            rule = rules.get(key[0])
            if rule is not None and (
                standing not in said.episodes or said.episodes[standing]["status"] != "firing"
            ):
                new.append(self._firing(rule, rows[-1], standing, now_us))
        for episode in sorted(said.firing.get(key, set()) - {standing}):
            before = said.episodes[episode]
            reason, at_us = _ending(rows, before["starts_us"], now_us)
            new.append(
                {
                    **before,
                    "status": "resolved",
                    "reason": reason,
                    "instant_us": at_us,
                    "notified_us": now_us,
                    "key": _key(episode, "resolved", now_us),
                }
            )
        return new

    def _note(self, rows: list[Row], now_us: int) -> None:
        """Wish for a line in the log for each; after a start for whatever was said last, since a kill may
        have come between.
        """
        self.outbox.enqueue(
            [
                OutboxMessage(sink, row["key"], {**payload_of(row), "paged": row["paged"]})
                for row in rows
                for sink in self.notification_sinks
            ],
            now_us,
        )

    def _tell(
        self,
        said: _Said,
        rule_set: RuleSet,
        targets: set[str],
        evaluated: Collection[str] | None,
        now_us: int,
    ) -> None:
        """Wish for whatever was said to be delivered; a wish that is in already is not made again."""
        if not self._told:
            targets, self._told = set(said.targets), True
        waited = set(self._deferred)
        if not targets | waited:
            return
        with self._lock:
            for target in targets | waited:
                self._deferred.pop(target, None)
                versions = _waits_for(said.of_target(target), rule_set, evaluated, now_us)
                if versions:
                    self._deferred[target] = versions
        if self.alert_sinks:
            rows = [(target, self._standing(said, target)) for target in sorted(targets | waited)]
            self.outbox.enqueue(
                [
                    OutboxMessage(sink, target, payload_of(row))
                    for target, row in rows
                    if row["paged"]
                    for sink in self.alert_sinks
                ],
                now_us,
            )

    def _standing(self, said: _Said, target: str) -> Row:
        """What Alertmanager should hear of a target: an alert that awaits its rule's new version goes on
        firing.
        """
        row = said.of_target(target)
        return {**row, "status": "firing"} if target in self._deferred else row

    def _firing(self, rule: WindowRule, row: Row, episode: str, now_us: int) -> Row:
        mine = pl.col("episode") == episode
        evidence = (
            self.store.table("evidence").read(["trace_id", "rank"], mine).sort("rank")["trace_id"].to_list()
        )
        value = "no value" if row["value"] is None else plain_number(row["value"])
        summary = f"{rule.fire.text} is met with {value} over {row['traces']} traces"
        newest = max(row["instant_us"], self.held(rule.hash, tuple(row["group"])) or 0)
        return {
            "key": _key(episode, "firing", now_us),
            "episode": episode,
            "status": "firing",
            "reason": "crossed",
            "rule": rule.id,
            "rule_hash": rule.hash,
            "severity": rule.severity,
            "by": row["by"],
            "group": row["group"],
            "starts_us": row["instant_us"],
            "instant_us": row["instant_us"],
            "value": row["value"],
            "condition": rule.fire.text,
            "summary": summary + (f": {rule.points_to}" if rule.points_to else ""),
            "traces": row["traces"],
            "errors": row["errors"],
            "evidence": evidence,
            "paged": now_us - newest <= self.page_if_newer_us,
            "notified_us": now_us,
        }


def plain_number(value: float) -> str:
    """Four digits, and never as a power of ten: ``0.2963``, ``12460``."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"


def _ending(rows: Iterable[Row], starts_us: int, now_us: int) -> tuple[str, int]:
    """Why and when an episode ended: by the verdict that follows its own; without its own it was revised
    away.
    """
    rows = list(rows)
    place = next(
        (i for i, row in enumerate(rows) if row["state"] == "firing" and row["instant_us"] == starts_us), None
    )
    if place is None or place + 1 == len(rows):
        return "revised", now_us
    after = rows[place + 1]
    if after["state"] in ("superseded", "regrouped"):
        return after["state"], after["instant_us"]
    return ("no_data" if after["traces"] <= 0 else "cleared"), after["instant_us"]


def _waits_for(row: Row, rule_set: RuleSet, evaluated: Collection[str] | None, now_us: int) -> set[str]:
    """The versions of an edited rule that must be evaluated before Alertmanager hears of the old one's end.

    None after twice the window: then there is no data, and the alert ends for that.
    """
    if row["status"] != "resolved" or row["reason"] != "superseded" or evaluated is None:
        return set()
    heirs = [rule for rule in rule_set.window_rules if rule.id == row["rule"] and list(rule.by) == row["by"]]
    return {
        rule.hash
        for rule in heirs
        if rule.hash not in evaluated and now_us - row["notified_us"] < 2 * rule.size_us
    }


def target_of(row: Row) -> str:
    """What a newer alert supersedes: the rule and the group, whatever the rule's version."""
    text = "\x1f".join([row["rule"], ",".join(row["by"]), *row["group"]])
    return f"{row['rule']}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def payload_of(row: Row) -> dict[str, Any]:
    """A notification as Alertmanager's sink takes it."""
    names = label_names(row["by"])
    return {
        "status": row["status"],
        "rule": row["rule"],
        "severity": row["severity"],
        "group": dict(zip(names, row["group"], strict=True)),
        "starts_us": row["starts_us"],
        "resolved_us": row["notified_us"] if row["status"] == "resolved" else None,
        "value": row["value"],
        "condition": row["condition"],
        "summary": row["summary"],
        "evidence": row["evidence"],
        "episode": row["episode"],
    }


def _key(episode: str, status: str, notified_us: int) -> str:
    """An episode that was revised away and comes back is said again."""
    return hashlib.sha256(f"{episode}{status}{notified_us}".encode()).hexdigest()[:20]

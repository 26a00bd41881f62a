"""What was notified of alerts so far: the table ``notifications`` in memory, by episode, group and target."""

from __future__ import annotations

import hashlib
from typing import Any

import polars as pl

from rules.groups import label_names
from tracesieve.alerts.episodes import RuleGroup

Row = dict[str, Any]


class NotificationLog:
    """The last notification of each episode, found by rule version and group, and by target.

    A target is what receivers take for one alert: a rule and a group, whatever the version of the rule.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._last: dict[str, Row] = {}  # by episode
        self._firing: dict[RuleGroup, set[str]] = {}
        self._episodes: dict[str, set[str]] = {}  # by target
        for row in rows.sort("notified_us", maintain_order=True).iter_rows(named=True):
            self.add(row)

    def add(self, row: Row) -> None:
        """Take in a notification that has been written."""
        episode, key = row["episode"], (row["rule_hash"], tuple(row["group"]))
        self._last[episode] = row
        self._episodes.setdefault(target_of(row), set()).add(episode)
        firing = self._firing.setdefault(key, set())
        if row["status"] == "firing":
            firing.add(episode)
        else:
            firing.discard(episode)

    def last(self, episode: str) -> Row | None:
        """The last notification of an episode; None: there is none yet."""
        return self._last.get(episode)

    def every_last(self) -> list[Row]:
        """The last notification of each episode."""
        return list(self._last.values())

    def every_firing(self) -> list[Row]:
        """The last notification of each episode that fires."""
        return [self._last[episode] for episodes in self._firing.values() for episode in episodes]

    def unpaged_groups(self) -> set[RuleGroup]:
        """The rule versions and groups with an episode that fires and paged nobody."""
        return {(row["rule_hash"], tuple(row["group"])) for row in self.every_firing() if not row["paged"]}

    def firing(self, key: RuleGroup) -> set[str]:
        """The episodes of a rule version and group that were last notified as firing."""
        return set(self._firing.get(key, ()))

    def firing_groups(self) -> set[RuleGroup]:
        """The rule versions and groups with such an episode."""
        return {key for key, episodes in self._firing.items() if episodes}

    def targets(self) -> set[str]:
        """Every target of which anything was notified."""
        return set(self._episodes)

    def of_target(self, target: str) -> Row:
        """What stands for a target: an episode that fires, else the one that began last."""
        rows = (self._last[episode] for episode in self._episodes[target])
        return max(rows, key=lambda row: (row["status"] == "firing", row["starts_us"], row["notified_us"]))


def target_of(row: Row) -> str:
    """The target of a notification: the rule's id, and a hash of its keys and the group's values."""
    text = "\x1f".join([row["rule"], ",".join(row["by"]), *row["group"]])
    return f"{row['rule']}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def payload_of(row: Row) -> dict[str, Any]:
    """A notification as receivers take it."""
    return {
        "status": row["status"],
        "rule": row["rule"],
        "severity": row["severity"],
        "group": dict(zip(label_names(row["by"]), row["group"], strict=True)),
        "starts_us": row["starts_us"],
        "resolved_us": row["notified_us"] if row["status"] == "resolved" else None,
        "value": row["value"],
        "condition": row["condition"],
        "summary": row["summary"],
        "evidence": row["evidence"],
        "episode": row["episode"],
    }

"""Notifications: the log of what was said about alerts, made by comparing verdicts with what was said before."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.groups import label_names
from rules.model import Pack, WindowRule
from store import Store
from store.outbox import Outbox, Wish
from tracesieve.followers.verdicts import episode_id, net_verdicts

log = logging.getLogger("tracesieve.alerts")


@dataclass
class Notifications:
    """Says each firing and each resolution once; alerts go to the outbox when they are new enough to page anyone."""

    store: Store
    outbox: Outbox
    page_if_newer_us: int
    to_alertmanager: bool

    def step(self, pack: Pack, now_us: int) -> list[dict[str, Any]]:
        """Write what is new; the rows that were written."""
        rules = {rule.hash: rule for rule in pack.window_rules}
        latest: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in net_verdicts(self.store.table("verdicts").read()):
            latest[(row["rule_hash"], *row["group"])] = row
        said = self.said()
        new: list[dict[str, Any]] = []
        standing: set[str] = set()
        for row in latest.values():
            rule = rules.get(row["rule_hash"])
            if rule is None or row["state"] != "firing":
                continue
            episode = episode_id(rule, row["group"], row["instant_us"])
            standing.add(episode)
            if episode not in said:
                new.append(self._firing(rule, row, episode, now_us))
        for episode, before in said.items():
            if before["status"] == "firing" and episode not in standing:
                reason = "cleared" if before["rule_hash"] in rules else "superseded"
                new.append({**before, "status": "resolved", "reason": reason, "instant_us": now_us, "said_us": now_us,
                            "key": _key(episode, "resolved")})  # fmt: skip
        self.store.table("notifications").append(new)
        self._tell(now_us)
        for row in new:
            log.warning("%s %s %s: %s", row["status"].upper(), row["rule"], "/".join(row["group"]), row["summary"])
        return new

    def said(self) -> dict[str, dict[str, Any]]:
        """The last notification of each episode."""
        rows = self.store.table("notifications").read().sort("said_us", maintain_order=True)
        return {row["episode"]: row for row in rows.iter_rows(named=True)}

    def by_target(self) -> dict[str, dict[str, Any]]:
        """What was last said of each rule and group, which Alertmanager takes for one alert: an episode that fires wins.

        So an edited rule that goes on firing is not resolved by the end of the episode of its former version.
        """
        found: dict[str, dict[str, Any]] = {}
        for row in sorted(self.said().values(), key=lambda row: (row["starts_us"], row["said_us"])):
            target = target_of(row)
            if target not in found or row["status"] == "firing" or found[target]["status"] != "firing":
                found[target] = row
        return found

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that Alertmanager should hold as firing, as its sink takes them, by target."""
        rows = self.by_target().items()
        return {target: payload_of(row) for target, row in rows if row["status"] == "firing" and row["paged"]}

    def _tell(self, now_us: int) -> None:
        """Wish for whatever was said to be delivered; a wish that is in already is not made again."""
        if self.to_alertmanager:
            wishes = [Wish("alertmanager", target, payload_of(row)) for target, row in self.by_target().items() if row["paged"]]
            self.outbox.wish(wishes, now_us)

    def _firing(self, rule: WindowRule, row: dict[str, Any], episode: str, now_us: int) -> dict[str, Any]:
        mine = pl.col("episode") == episode
        evidence = self.store.table("evidence").read(["trace_id", "rank"], mine).sort("rank")["trace_id"].to_list()
        value = "" if row["value"] is None else f"{row['value']:.4g}"
        summary = f"{rule.fire.text} is met with {value} over {row['traces']} traces"
        return {
            "key": _key(episode, "firing"), "episode": episode, "status": "firing", "reason": "crossed", "rule": rule.id,
            "rule_hash": rule.hash, "severity": rule.severity, "by": row["by"], "group": row["group"],
            "starts_us": row["instant_us"], "instant_us": row["instant_us"], "value": row["value"],
            "condition": rule.fire.text, "summary": summary + (f": {rule.points_to}" if rule.points_to else ""),
            "traces": row["traces"], "errors": row["errors"], "evidence": evidence,
            "paged": now_us - row["instant_us"] <= self.page_if_newer_us, "said_us": now_us,
        }  # fmt: skip


def target_of(row: dict[str, Any]) -> str:
    """What a newer alert supersedes: the rule and the group, whatever the rule's version."""
    text = "\x1f".join([row["rule"], row["by"], *row["group"]])
    return f"{row['rule']}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def payload_of(row: dict[str, Any]) -> dict[str, Any]:
    """A notification as Alertmanager's sink takes it."""
    keys = row["by"].split(",") if row["by"] else []
    names = label_names(keys)
    return {
        "status": row["status"], "rule": row["rule"], "severity": row["severity"],
        "group": dict(zip(names, row["group"], strict=True)), "starts_us": row["starts_us"],
        "resolved_us": row["said_us"] if row["status"] == "resolved" else None, "value": row["value"],
        "condition": row["condition"], "summary": row["summary"], "evidence": row["evidence"], "episode": row["episode"],
    }  # fmt: skip


def _key(episode: str, status: str) -> str:
    return hashlib.sha256(f"{episode}{status}".encode()).hexdigest()[:20]

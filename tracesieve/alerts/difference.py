"""Which notifications are due: the difference between the verdicts that stand and what was notified.

Pure: equal verdicts and an equal log give equal rows. Each firing is notified once, and so is its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.alerting.contract import AlertRule
from tracesieve.alerts.episodes import Group, RuleGroup, episode_id
from tracesieve.alerts.notification_log import NotificationLog, Row

DRY_RUN = "dry_run"  # the reason of what was notified by a dry run
_ENDS = {
    "no_data": "there are no traces any more",
    "regrouped": "the rule counts by other keys now",
    "revised": "late traces took it back",
}


@dataclass(frozen=True)
class Present:
    """What a new notification takes from the present.

    Attributes:
        rules: the alert rules in force, by hash.
        evidence_of: the trace ids that are evidence of an episode, the first the most telling.
        held_us: when the condition of a firing group (rule hash, group) last held; None: unknown.
        quiet_us: up to when an alert of a rule, which began by then, pages nobody (SEMANTICS 32); 0: none.
        page_if_newer_us: an alert whose condition last held longer ago pages nobody (SEMANTICS 16).
        dry_run: nobody is paged; the next run that is none notifies what still fires.
    """

    rules: Mapping[str, AlertRule]
    evidence_of: Callable[[str], list[str]]
    held_us: Callable[[str, Group], int | None]
    quiet_us: Callable[[AlertRule], int]
    page_if_newer_us: int
    now_us: int
    dry_run: bool = False


def difference(key: RuleGroup, verdicts: Sequence[Row], log: NotificationLog, present: Present) -> list[Row]:
    """The notifications that are due for a rule version and group.

    ``verdicts`` are those of it that stand, oldest first.
    """
    due: list[Row] = []
    fires = None
    if verdicts and verdicts[-1]["state"] == "firing":
        fires = episode_id(*key, verdicts[-1]["instant_us"])
        rule, last = present.rules.get(key[0]), log.last(fires)
        if rule is not None:
            firing = _firing(rule, verdicts[-1], fires, present)
            if not _is_notified(last, present) or _pages_after_all(rule, last, firing, present):
                due.append(firing)
    for episode in sorted(log.firing(key) - {fires}):
        last = log.last(episode)
        assert last is not None
        due.append(_resolved(last, verdicts, present))
    return due


def _is_notified(last: Row | None, present: Present) -> bool:
    """Whether the last notification of an episode says that it fires, and said so to those who count."""
    if last is None or last["status"] != "firing":
        return False
    return last["reason"] != DRY_RUN or present.dry_run


def _pages_after_all(rule: AlertRule, last: Row | None, firing: Row, present: Present) -> bool:
    """Whether an alert that came of rules applied to the past still holds after that."""
    return bool(
        last and firing["paged"] and not last["paged"] and last["instant_us"] <= present.quiet_us(rule)
    )


def _firing(rule: AlertRule, verdict: Row, episode: str, present: Present) -> Row:
    newest_us = max(verdict["instant_us"], present.held_us(rule.hash, tuple(verdict["group"])) or 0)
    return {
        "key": _key(episode, "firing", present.now_us),
        "episode": episode,
        "status": "firing",
        "reason": DRY_RUN if present.dry_run else "crossed",
        "rule": rule.id,
        "rule_hash": rule.hash,
        "severity": rule.severity,
        "by": verdict["by"],
        "group": verdict["group"],
        "starts_us": verdict["instant_us"],
        "instant_us": verdict["instant_us"],
        "value": verdict["value"],
        "condition": rule.condition_text,
        "summary": rule.summary(verdict["value"], verdict["traces"]),
        "traces": verdict["traces"],
        "errors": verdict["errors"],
        "evidence": present.evidence_of(episode),
        "paged": not present.dry_run
        and present.now_us - newest_us <= present.page_if_newer_us
        and newest_us > present.quiet_us(rule),
        "notified_us": present.now_us,
    }


def _resolved(firing: Row, verdicts: Sequence[Row], present: Present) -> Row:
    """The end of an episode, by its notification as firing."""
    reason, after = _end(verdicts, firing["starts_us"])
    changed: dict[str, Any] = {
        "status": "resolved",
        "reason": reason,
        "instant_us": present.now_us if after is None else after["instant_us"],
        "notified_us": present.now_us,
        "key": _key(firing["episode"], "resolved", present.now_us),
        "paged": firing["paged"] and not present.dry_run,
    }
    if reason == "cleared" and after is not None:
        changed |= {name: after[name] for name in ("value", "traces", "errors")}
    if reason != "superseded":  # receivers may hold that one as firing until the new version is evaluated
        changed["summary"] = _end_summary(reason, firing, after, present)
    return {**firing, **changed}


def _end_summary(reason: str, firing: Row, after: Row | None, present: Present) -> str:
    """Why an episode ended, in a sentence."""
    rule = present.rules.get(firing["rule_hash"])
    if reason == "cleared" and after is not None and rule is not None:
        return rule.resolution(after["value"], after["traces"])
    return f"{firing['condition']} is over: {_ENDS.get(reason, 'it no longer holds')}"


def _end(verdicts: Sequence[Row], starts_us: int) -> tuple[str, Row | None]:
    """Why an episode ended, and the verdict that ended it: the one after its own.  Without one, the episode's
    own verdict no longer stands: it was revised away.
    """
    place = next(
        (i for i, row in enumerate(verdicts) if row["state"] == "firing" and row["instant_us"] == starts_us),
        None,
    )
    if place is None or place + 1 == len(verdicts):
        return "revised", None
    after = verdicts[place + 1]
    if after["state"] in ("superseded", "regrouped"):
        return after["state"], after
    return ("no_data" if after["traces"] <= 0 else "cleared"), after


def _key(episode: str, status: str, notified_us: int) -> str:
    """The time is in it: an episode that was revised away and comes back is notified again."""
    return hashlib.sha256(f"{episode}{status}{notified_us}".encode()).hexdigest()[:20]

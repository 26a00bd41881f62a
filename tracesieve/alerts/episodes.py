"""Names of what fires: the group of a rule, and one firing of it (an episode)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from rules.alerting.contract import AlertRule
from rules.alerting.evidence import EvidenceChoice

Group = tuple[str, ...]  # the values of a rule's `by`
RuleGroup = tuple[str, Group]  # rule hash, group


@dataclass(frozen=True)
class Episode:
    """The step of one group of one rule to firing, and which traces are behind it."""

    rule: AlertRule
    group: Group
    instant_us: int
    choice: EvidenceChoice

    @property
    def id(self) -> str:
        """The same for the same step, whichever process computes it."""
        return episode_id(self.rule.hash, self.group, self.instant_us)


def episode_id(rule_hash: str, group: Iterable[str], instant_us: int) -> str:
    """One firing of one group of one rule: 16 hex digits."""
    text = "\x1f".join([rule_hash, *group, str(instant_us)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]

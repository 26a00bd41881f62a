"""What every rule in force has, whatever its kind.

The program asks a rule what it does through this contract alone: whether something is evaluated on each
trace, whether its matches are tagged, whether it alerts. The kinds of rules (``rules/kinds/``) implement it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rules.dialect import Condition

if TYPE_CHECKING:
    from rules.alerting.contract import AlertRule

Severity = Literal["info", "warning", "critical"]
SEVERITY_ORDER = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True)
class Rule:
    """A rule in force; ``hash`` is over its meaning, not its words."""

    kind: ClassVar[str]
    tags_matches: ClassVar[bool] = False
    """Whether each trace for which ``per_trace`` is TRUE gets the rule's category, or is only counted."""

    id: str
    severity: Severity
    points_to: str
    hash: str

    @property
    def per_trace(self) -> Condition | None:
        """The condition that is evaluated on each trace (SEMANTICS 7); None: there is none."""
        return None

    @property
    def category(self) -> str | None:
        """The category that it gives to traces; None: it tags none."""
        return None

    @property
    def dataset(self) -> str | None:
        """The dataset, without the prefix, that its matches enter though nothing is tagged; None: none."""
        return None

    @property
    def alert(self) -> AlertRule | None:
        """This rule as one that alerts; None: it does not alert."""
        return None

    @property
    def condition_text(self) -> str:
        """The condition that listings and pages show, as its author wrote it."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, str]:
        """What a listing of rules shows beside the condition, by short names, in order."""
        return {}

    @property
    def tests(self) -> tuple[tuple[bool, str], ...]:
        """The tests of ``per_trace`` that it carries: whether the trace should match, and the short trace as
        JSON.
        """
        return ()


def hash_of(meaning: Any) -> str:
    """Twelve hex digits over a rule's meaning."""
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()[:12]

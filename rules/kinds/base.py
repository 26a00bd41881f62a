"""What every kind of rule has: the keys of its file format, the value it is built into, and how a kind
describes itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rules.diagnostics import Diagnostic
from rules.dialect import Condition
from rules.kinds.strict import Strict

Severity = Literal["info", "warning", "critical"]
SEVERITY_ORDER = {"info": 0, "warning": 1, "critical": 2}
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Category = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class RuleModel(Strict):
    """The keys of every rule."""

    id: Id = Field(description="the name of the rule, unique among all that are loaded")
    description: str = Field("", description="what it looks for, for people")
    points_to: str = Field(
        "", description="what a match usually points to; shown by `rules list` and in alerts"
    )
    severity: Severity = Field("warning", description="ranks its category among those of other rules")
    owner: str = Field("", description="who looks after it")


@dataclass(frozen=True)
class Rule:
    """A rule that is in force; ``hash`` is over its meaning, not its words."""

    kind: ClassVar[str]

    id: str
    severity: Severity
    points_to: str
    hash: str

    @property
    def per_trace(self) -> Condition | None:
        """What is evaluated on each trace (SEMANTICS 7); None: nothing."""
        return None

    @property
    def category(self) -> str | None:
        """The category that it gives to traces, if any."""
        return None

    @property
    def condition(self) -> Condition:
        """The condition that a listing shows."""
        raise NotImplementedError


@dataclass(frozen=True)
class Kind:
    """One kind of rule, as the registry knows it.

    Attributes:
        name: what messages and listings call it.
        key: the key that only rules of this kind have, and by which they are told apart.
        model: the keys of its file format.
        build: from the checked keys to the rule; raises ``ConditionError``.
        conditions: which keys hold conditions, and on what.
        check: what else is wrong with a rule as written, each with its path; it may have any other fault too.
    """

    name: str
    key: str
    model: type[RuleModel]
    build: Callable[[Any], Rule]
    conditions: Mapping[str, Literal["trace", "measure"]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Iterator[Diagnostic]]

    @property
    def keys(self) -> list[str]:
        """The keys that a rule of this kind may have, as the file spells them."""
        return [info.alias or name for name, info in self.model.model_fields.items()]


def hash_of(meaning: Any) -> str:
    """Twelve hex digits over a rule's meaning."""
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()[:12]

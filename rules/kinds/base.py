"""How a kind of rule describes itself: the keys of its file format, the rule that is built of them, and what
lint checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rules.diagnostics import Diagnostic
from rules.kinds.strict import Strict
from rules.rule import Rule, Severity

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def checked_name(value: str) -> str:
    """The name of a rule or of a category, as it is.

    Raises:
        ValueError: it is none.
    """
    if not _NAME.fullmatch(value):
        raise ValueError(
            "only small letters, digits, `-` and `_`, the first a letter or digit, at most 64 in all"
        )
    return value


_NAMED = (AfterValidator(checked_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"}))
Id = Annotated[str, *_NAMED]
Category = Annotated[str, *_NAMED]


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
class Kind:
    """One kind of rule, as the registry knows it.

    Attributes:
        name: what messages and listings call it.
        key: the key that every rule of this kind has, and no other; a rule's kind is recognised by it.
        model: the keys of its file format.
        rule: the class of the rules that it builds.
        build: from the checked keys to the rule; raises ``ConditionError``.
        conditions: which keys hold conditions, and on what.
        check: what else is wrong with a rule as written, each with its path; it may have any other fault too.
    """

    name: str
    key: str
    model: type[RuleModel]
    rule: type[Rule]
    build: Callable[[Any], Rule]
    conditions: Mapping[str, Literal["trace", "measure"]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Iterator[Diagnostic]]

    @property
    def keys(self) -> list[str]:
        """The keys that a rule of this kind may have, as the file spells them."""
        return [info.alias or name for name, info in self.model.model_fields.items()]

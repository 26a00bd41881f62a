"""The kinds of rules there are.  A new one is a file here, a line in ``KINDS`` and a test
(docs/adding-a-rule-kind.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag

from rules.kinds import trace, window
from rules.kinds.base import Kind, Rule, RuleModel
from rules.kinds.strict import Strict
from rules.kinds.trace import TraceRule
from rules.kinds.window import WindowRule

KINDS: tuple[Kind, ...] = (
    trace.KIND,
    window.KIND,
)


def kind_of(item: Any) -> Kind:
    """The kind of a rule: told by the key that only that kind has, else the last, whose keys are then
    missed.
    """
    if isinstance(item, RuleModel):
        return next(kind for kind in KINDS if type(item) is kind.model)
    keys = item if isinstance(item, Mapping) else {}
    return next((kind for kind in KINDS if kind.key in keys), KINDS[-1])


_TAGGED = tuple(Annotated[kind.model, Tag(kind.name)] for kind in KINDS)
_OF_ANY_KIND: Any = Annotated[Union[_TAGGED], Discriminator(lambda item: kind_of(item).name)]  # noqa: UP007


class FileModel(Strict):
    """One rule file."""

    version: Literal[1] = Field(description="the version of the format")
    rules: list[_OF_ANY_KIND] = Field(description="the rules, of any kind")


__all__ = ["KINDS", "FileModel", "Kind", "Rule", "RuleModel", "TraceRule", "WindowRule", "kind_of"]

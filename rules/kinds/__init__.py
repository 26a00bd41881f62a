"""The kinds of rules there are. A new one is a file here, a line in ``KINDS`` and a test
(docs/adding-a-rule-kind.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag, create_model

from rules.kinds import trace, window
from rules.kinds.base import Kind, RuleModel
from rules.kinds.strict import Strict

KINDS: tuple[Kind, ...] = (
    trace.KIND,
    window.KIND,
)


def all_kinds() -> tuple[Kind, ...]:
    """The kinds as they are now; ask at the time of use, so that a kind that a test adds is known
    everywhere.
    """
    return KINDS


def kind_of(item: Any) -> Kind:
    """The kind of a rule, recognised by the key that only that kind has; without any such key the last, whose
    keys are then reported as missing.
    """
    if isinstance(item, RuleModel):
        return next(kind for kind in KINDS if type(item) is kind.model)
    keys = item if isinstance(item, Mapping) else {}
    return next((kind for kind in KINDS if kind.key in keys), KINDS[-1])


def has_kind(item: Mapping[str, Any]) -> bool:
    """Whether a rule is of one of these kinds: it has the key that only that kind has."""
    return any(kind.key in item for kind in KINDS)


class _FileBase(Strict):
    """One rule file."""

    version: Literal[1] = Field(description="the version of the format")


def file_model() -> type[Strict]:
    """The model of one rule file with rules of all kinds."""
    tagged = tuple(Annotated[kind.model, Tag(kind.name)] for kind in KINDS)
    of_any_kind: Any = Annotated[Union[tagged], Discriminator(lambda item: kind_of(item).name)]  # noqa: UP007
    rules = (list[of_any_kind], Field(description="the rules, of any kind"))
    return create_model("FileModel", __base__=_FileBase, __doc__=_FileBase.__doc__, rules=rules)


__all__ = ["KINDS", "Kind", "RuleModel", "all_kinds", "file_model", "has_kind", "kind_of"]

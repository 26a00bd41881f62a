"""The kinds of rules there are. A new one is a file here, a line in ``KINDS`` and a test
(docs/adding-a-rule-kind.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag, create_model

from rules.kinds import dataset, trace, window
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
        return next(kind for kind in (*KINDS, dataset.KIND) if type(item) is kind.model)
    keys = item if isinstance(item, Mapping) else {}
    return next((kind for kind in KINDS if kind.key in keys), KINDS[-1])


def stored_kind_of(item: Mapping[str, Any]) -> Kind | None:
    """The kind of a rule of a store, which may be one that no rule file can hold; None: it has the key of
    none.
    """
    return next((kind for kind in (*KINDS, dataset.KIND) if kind.key in item), None)


class _FileBase(Strict):
    """One rule file."""

    version: Literal[1] = Field(description="the version of the format")


def tags_matches(item: Mapping[str, Any]) -> bool:
    """Whether the matches of a rule of a store are tagged (``Rule.tags_matches``)."""
    kind = stored_kind_of(item)
    return kind is not None and kind.rule.tags_matches


def file_model() -> type[Strict]:
    """The model of one rule file with rules of all kinds."""
    tagged = tuple(Annotated[kind.model, Tag(kind.name)] for kind in KINDS)
    of_any_kind: Any = Annotated[Union[tagged], Discriminator(lambda item: kind_of(item).name)]  # noqa: UP007
    rules = (list[of_any_kind], Field(description="the rules, of any kind"))
    return create_model("FileModel", __base__=_FileBase, __doc__=_FileBase.__doc__, rules=rules)


__all__ = [
    "KINDS",
    "Kind",
    "RuleModel",
    "all_kinds",
    "file_model",
    "kind_of",
    "stored_kind_of",
    "tags_matches",
]

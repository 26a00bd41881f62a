"""The rule that a condition of a dataset in the config becomes: its matches enter that dataset, and nothing
is tagged.

It is matched with all other rules and stands beside them in the store, so that its hits are in the facts. No
rule file can hold one: the dot in its id, and its key, are of no other kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from rules.diagnostics import Diagnostic
from rules.dialect import Condition, compile_condition
from rules.kinds.base import Kind, RuleModel
from rules.rule import Rule, hash_of

_PREFIX = "datasets."


class DatasetRuleModel(RuleModel):
    """The condition of a dataset."""

    id: str = Field(pattern=r"^datasets\..+$", description="datasets.NAME")
    feeds: str = Field(description="the condition on a trace")


@dataclass(frozen=True)
class DatasetRule(Rule):
    """A rule that puts each trace for which ``feeds`` is TRUE into one dataset."""

    kind: ClassVar[str] = "dataset"

    feeds: Condition

    @property
    def per_trace(self) -> Condition:
        return self.feeds

    @property
    def dataset(self) -> str:
        return self.id.removeprefix(_PREFIX)

    @property
    def condition_text(self) -> str:
        return self.feeds.text


def dataset_rule(name: str) -> str:
    """The id of the rule that feeds the dataset of that name (without the prefix of the config)."""
    return f"{_PREFIX}{name}"


def is_dataset_rule(rule: str) -> bool:
    """Whether that is the id of such a rule."""
    return rule.startswith(_PREFIX)


def _build(model: DatasetRuleModel) -> DatasetRule:
    feeds = compile_condition(model.feeds)
    return DatasetRule(model.id, model.severity, model.points_to, hash_of([model.id, feeds.normal]), feeds)


def _check(_item: Mapping[str, Any], _group_by: Sequence[str]) -> Iterator[Diagnostic]:
    return iter(())


KIND = Kind(
    name="dataset",
    key="feeds",
    model=DatasetRuleModel,
    rule=DatasetRule,
    build=_build,
    conditions={"feeds": "trace"},
    check=_check,
)

"""``mlflow`` and ``datasets`` in the config: the server that tags and datasets go to, and what goes there."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rules.address_key import TrackingUri
from rules.condition_key import ConditionText
from rules.kinds.dataset import dataset_rule, is_dataset_rule
from rules.selection import Quotas
from rules.tags import is_search
from sinks.base import ConfigKey, SinkConfig
from sinks.mlflow.attachable import fault
from sinks.mlflow.redaction import RedactionConfig

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class MlflowTarget(BaseModel):
    """The server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking_uri: TrackingUri = Field(
        description="the server; a login comes from MLflow's own environment variables"
    )
    tags: bool = Field(
        default=True, description="false where that server does not have the source's traces: datasets alone"
    )
    assessments: bool = Field(
        default=False, description="true: a matched trace also gets a feedback for each rule, with why"
    )
    issues: bool = Field(
        default=False,
        description="true: an error pattern that goes on is also an issue, open or resolved",
    )


class DatasetSet(BaseModel):
    """One dataset, ``<prefix>_<name>``, and what feeds it: categories, rules, a condition, people.

    Without ``categories``, ``rules`` and ``where`` it is fed by the category of its own name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: list[str] | None = Field(default=None, description="categories of rules that feed it")
    rules: list[str] = Field(default=[], description="ids of rules that feed it, whatever their category")
    where: ConditionText | None = Field(
        default=None, description="a condition on traces, in the rules' language, that feeds it"
    )
    people: bool = Field(
        default=True,
        description="whether an `eval_candidate` of a person that names it, or one of its categories, does",
    )
    approval: bool = Field(
        default=False,
        description="a candidate waits until a person sets its `eval_candidate` to the dataset's name",
    )
    expectations: dict[str, Any] = Field(
        default={}, description="expectations that its records get, such as `guidelines`; a person's win"
    )
    quotas: Quotas | None = Field(default=None, description="instead of those of all datasets")
    keep: list[str] | None = Field(default=None, description="instead of those of all datasets")
    experiment: str | None = Field(
        default=None, min_length=1, description="the experiment that holds it; absent: that of all datasets"
    )

    @field_validator("expectations")
    @classmethod
    def _expectations(cls, value: dict[str, Any]) -> dict[str, Any]:
        """All that is wrong with them at once."""
        if wrong := [f"`{name}`: {why}" for name, one in value.items() if (why := fault(name, one))]:
            raise ValueError("; ".join(wrong))
        return value

    def fed_by(self, name: str) -> list[str]:
        """The categories that feed the set of that name."""
        if self.categories is None:
            return [] if self.rules or self.where is not None else [name]
        return self.categories

    def is_fed_by(self, name: str, rule: str, of_category: bool) -> bool:
        """Whether a match of a rule feeds the set of that name; ``of_category``: its category does."""
        if is_dataset_rule(rule):
            return self.where is not None and rule == dataset_rule(name)
        return not is_search(rule) and (of_category or rule in self.rules)


class DatasetsConfig(BaseModel):
    """Regression datasets: one a category, named ``<prefix>_<category>``, or those that ``sets`` names.

    They live in the experiment of each trace; with ``experiment`` all of them in the one of that name, made
    if there is none.  A source that is no MLflow server has no experiments: its datasets are in
    ``experiment``, or in one named as ``prefix``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(
        default="tracesieve",
        description="a dataset is named <prefix>_<category>",
    )
    experiment: str | None = Field(
        default=None,
        min_length=1,
        description="the experiment that holds them; absent: each trace's own, or one named as the prefix",
    )
    quotas: Quotas = Field(default=Quotas(), description="how many records a dataset takes; null: no bound")
    keep: list[str] = Field(
        default=["outcome", "duration"],
        description="strata with fair shares: outcome, duration, query, group, or a key of group_by",
    )
    sets: dict[str, DatasetSet] = Field(
        default={}, description="the datasets and what feeds each; absent: one a category"
    )

    @property
    def expectations(self) -> dict[str, dict[str, Any]]:
        """What sets attach to their records, by the dataset's whole name."""
        return {
            f"{self.prefix}_{name}": one.expectations for name, one in self.sets.items() if one.expectations
        }

    @property
    def own_places(self) -> dict[str, str]:
        """The experiments of the sets that name one, by the dataset's whole name."""
        named = {name: one.experiment for name, one in self.sets.items()}
        return {f"{self.prefix}_{name}": place for name, place in named.items() if place is not None}

    @field_validator("sets")
    @classmethod
    def _set_names(cls, value: dict[str, DatasetSet]) -> dict[str, DatasetSet]:
        if wrong := sorted(name for name in value if not _NAME.fullmatch(name)):
            raise ValueError(f"{', '.join(wrong)}: a name has letters, digits, `_`, `.` and `-`, at most 64")
        return value

    redaction: RedactionConfig | Literal[False] = Field(
        default=RedactionConfig(),
        description="what is taken out of records before they are written; false: nothing",
    )

    @field_validator("prefix")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, `_`, `.` and `-` are expected, at least one and at most 64")
        return value


def dataset_prefix(config: SinkConfig) -> str:
    """What the names of datasets begin with, also where the config wants none (any more)."""
    return str((config.get(DATASETS.path) or DatasetsConfig()).prefix)


SERVER = ConfigKey("mlflow", MlflowTarget | None, None, "where tags and datasets go; absent: no tagging")
DATASETS = ConfigKey(
    "datasets",
    DatasetsConfig | Literal[False],
    DatasetsConfig(),
    "regression datasets in MLflow, one a category; false: none",
)

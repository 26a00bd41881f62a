"""The conditions by which sets of the config are fed, as rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds.dataset import DatasetRuleModel, dataset_rule
from sinks.mlflow.config import DATASETS

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


def dataset_rules(settings: Settings) -> list[DatasetRuleModel]:
    """A rule for each set that has a condition, in the order of the config; none where it wants no
    datasets.
    """
    config = settings.sinks.get(DATASETS.path)
    return [
        DatasetRuleModel.model_validate({"id": dataset_rule(name), "feeds": one.where})
        for name, one in (config.sets.items() if config else ())
        if one.where is not None
    ]

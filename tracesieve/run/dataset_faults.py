"""The mistakes in ``datasets`` of a config that only the rules can tell, at their lines of the file."""

from __future__ import annotations

from rules.diagnostics import Diagnostic
from rules.rule_set import RuleSet
from sinks.mlflow.config import DATASETS
from tracesieve.config.file import ConfigFile
from tracesieve.config.settings import Settings
from tracesieve.datasets.check import mistakes


def dataset_faults(settings: Settings, rule_set: RuleSet) -> list[Diagnostic]:
    """All of them; none where the config wants no datasets."""
    config = settings.sinks.get(DATASETS.path)
    found = mistakes(config, rule_set, settings.group_by) if config else []
    if not found:
        return []
    file = ConfigFile.read(settings.config_file)
    return [file.fault((DATASETS.path, *path), message, hint) for path, message, hint in found]

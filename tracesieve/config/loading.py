"""Loading the config: the file and the environment checked together, all that is wrong reported at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from rules.diagnostics import Diagnostic
from sinks import registry
from tracesieve.config import variables
from tracesieve.config.faults import Faults
from tracesieve.config.file import ConfigFile
from tracesieve.config.keys import holds_one_value, key_paths
from tracesieve.config.settings import OWN_FIELDS, Settings, settings_model
from tracesieve.errors import ConfigError


def load_settings(path: str | Path) -> Settings:
    """Read and check a config file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is wrong; the message says all that is wrong.
    """
    file, model = ConfigFile.read(path), settings_model()
    known = set(model.model_fields) - OWN_FIELDS
    paths = [one for one in key_paths(model, variables.chosen(file.data)) if one not in OWN_FIELDS]
    faults = file.repeated_keys()
    faults += [file.unknown_key([str(key)], paths) for key in file.data if key not in known]
    single = [name for name, field in model.model_fields.items() if holds_one_value(field)]
    faults += variables.misspelt(paths, single, file.data)
    values = {key: value for key, value in file.data.items() if key in known}
    try:
        settings = model(**values, base_dir=str(Path(path).resolve().parent), config_file=str(path))
    except ValidationError as error:
        found = [*faults, *Faults(file, model, paths).of(error.errors())]
        raise ConfigError(found, [line for one in found for line in file.shown(one)]) from error
    if faults:
        raise ConfigError(faults)
    return settings


def missing(settings: Settings) -> list[Diagnostic]:
    """What a run needs and the environment does not have: secrets that are unset, unreadable files."""
    of_metrics = settings.metrics.missing() if settings.metrics else {}
    found = {f"metrics.{key}": message for key, message in of_metrics.items()}
    for sink in registry.SINKS.values():
        found |= sink.missing(settings.sinks)
    if not found:
        return []
    file = ConfigFile.read(settings.config_file)
    faults = ((key.split("."), message) for key, message in found.items())
    return [replace(file.fault(parts, message), path=tuple(parts)) for parts, message in faults]

"""Loading the config: the file and the environment checked together, all that is wrong reported at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from rules.diagnostics import Diagnostic, message_of
from sinks import registry
from tracesieve.config import variables
from tracesieve.config.file import ConfigFile
from tracesieve.config.keys import key_paths
from tracesieve.config.settings import OWN_FIELDS, Settings, settings_model
from tracesieve.errors import ConfigError


def load_settings(path: str | Path) -> Settings:
    """Read and check a config file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is wrong; the message says all that is wrong.
    """
    file, model = ConfigFile.read(path), settings_model()
    known = set(model.model_fields) - OWN_FIELDS
    paths = [one for one in key_paths(model, file.data) if one not in OWN_FIELDS]
    faults = [file.unknown_key([str(key)], paths) for key in file.data if key not in known]
    faults += variables.misspelt(paths)
    values = {key: value for key, value in file.data.items() if key in known}
    try:
        settings = model(**values, base_dir=str(Path(path).resolve().parent), config_file=str(path))
    except ValidationError as error:
        found = (_diagnostic(file, item, paths) for item in _without_other_form(error.errors()))
        raise ConfigError([*faults, *found]) from error
    except SettingsError as error:
        if not isinstance(error.__cause__, variables.NotJson):
            raise
        hint = """such as '["a", "b"]'"""
        wrong = variables.fault(error.__cause__.variable, "is not the JSON that this key needs", hint)
        raise ConfigError([*faults, wrong]) from error
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


def _without_other_form(items: list[Any]) -> list[Any]:
    """Without "should be a string" for a mapping with errors of its own, where a key takes a text as well."""
    tried = {item["loc"][:-1] for item in items if item["loc"][-1:] == ("str",)}
    mappings = {item["loc"][: len(loc)] for item in items for loc in tried if item["loc"][-1] != "str"}
    return [item for item in items if not (item["loc"][-1:] == ("str",) and item["loc"][:-1] in mappings)]


def _diagnostic(file: ConfigFile, item: Any, paths: Collection[str]) -> Diagnostic:
    """One pydantic error at its line of the file or at its environment variable."""
    loc = [str(part) for part in item["loc"]]
    unknown = item["type"] == "extra_forbidden"
    tag = item.get("ctx", {}).get("discriminator", "").strip("'")
    if variable := variables.set_by([*loc, tag] if tag else loc):
        return variables.fault(variable, "unknown key" if unknown else message_of(item))
    if unknown:
        return file.unknown_key(loc, paths)
    return file.missing_key(loc) if item["type"] == "missing" else file.fault(loc, message_of(item))

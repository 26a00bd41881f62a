"""A config file with every key in it: those that were chosen as they are, all others commented out with their
defaults.

It is made from the model itself, so that a key can be missing neither here nor, described, there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rules.duration_key import is_duration
from rules.units import duration_text
from tracesieve.config.keys import chosen_model
from tracesieve.config.settings import OWN_FIELDS, Settings, settings_model

_HEAD = """# The config of tracesieve. Every key there is is below; a key that is commented out has the value
# shown.
# An environment variable wins over this file: TRACESIEVE_STORE, TRACESIEVE_LOG__LEVEL (`__` between levels).
# Secrets are never written here: keys that end in _env name the environment variable that holds one.
"""
_WIDTH = 46


def rendered(chosen: Mapping[str, Any]) -> str:
    """The text of a config in which ``chosen`` (by top-level key, as in YAML) is set;
    ``chosen["source"]["kind"]`` is needed.
    """
    lines = [*_HEAD.splitlines(), ""]
    for name, field in _fields():
        lines += [*_key(name, field, chosen.get(name), chosen_model(field, chosen.get(name)), ""), ""]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    """All top-level keys; those that sinks bring stand before ``alerts``."""
    fields = settings_model().model_fields
    of_sinks = [name for name in fields if name not in Settings.model_fields]
    for name in Settings.model_fields:
        if name == "alerts":
            yield from ((one, fields[one]) for one in of_sinks)
        if name not in OWN_FIELDS:
            yield name, fields[name]


def _key(
    name: str, field: FieldInfo, value: Any, model: type[BaseModel] | None, indent: str
) -> Iterator[str]:
    """The lines of one key, and of the keys below it."""
    off = "" if value is not None else "# "
    if model is None:
        shown = _default(field) if value is None else _yaml(value)
        yield _line(f"{off}{indent}{name}: {shown}", field.description)
        return
    yield _line(f"{off}{indent}{name}:", field.description)
    given: Mapping[str, Any] = value or {}
    for below, its in model.model_fields.items():
        inner = given.get(below)
        nested = chosen_model(its, inner) if isinstance(its.default, BaseModel) else None
        for line in _key(below, its, inner, nested, indent + "  "):
            yield line if off and line.startswith("# ") else off + line


def _line(text: str, description: str | None) -> str:
    return f"{text:<{_WIDTH}}  # {description}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "…"
    return duration_text(value) if is_duration(field.metadata) else _yaml(value)


def _yaml(value: Any) -> str:
    """The value in one line of YAML; JSON is YAML."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        return (
            value
            if value.replace("-", "").replace(".", "").isalnum() and not value[0].isdigit()
            else json.dumps(value)
        )
    if isinstance(value, BaseModel):
        return json.dumps(value.model_dump(mode="json"), ensure_ascii=False)
    if isinstance(value, list | tuple):
        return json.dumps(list(value), ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)

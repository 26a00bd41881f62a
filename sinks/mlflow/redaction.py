"""The datasets' door: what a record is made of passes it once, and leaves it without personal data and
credentials (``datasets.redaction`` in the config; on unless that is ``false``).

Inputs, outputs, expectations and the texts of our tags are redacted together, so that one value has one token
in all of them, and before anything is compared or stored by its digest.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rules.errors import PluginError, RedactionError
from rules.redaction import DETECTORS, Plugin, Redactor, pattern_error
from sinks.errors import Refused

Detector = Literal["email", "phone", "card", "iban", "ip", "secret"]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_PLUGIN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class RedactionConfig(BaseModel):
    """What is looked for in records before they are written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detectors: tuple[Detector, ...] = Field(
        default=("email", "phone", "card", "iban", "ip", "secret"),
        description="what is looked for: email, phone, card, iban, ip, secret",
    )
    patterns: dict[str, str] = Field(
        default={},
        description="regular expressions of your own (RE2) by name, such as {customer: 'C-[0-9]{6}'}",
    )
    region: str | None = Field(
        default=None,
        description="whose phone numbers are known without a country code, such as DE; absent: nobody's",
    )
    plugin: str | None = Field(
        default=None, description="a function that finds more, as module:function, such as Presidio's"
    )

    @field_validator("patterns")
    @classmethod
    def _patterns(cls, value: dict[str, str]) -> dict[str, str]:
        """All that is wrong with them at once."""
        wrong = [f"`{name}`: {why}" for name, pattern in value.items() if (why := _fault(name, pattern))]
        if wrong:
            raise ValueError("; ".join(wrong))
        return value

    @field_validator("region")
    @classmethod
    def _region(cls, value: str | None) -> str | None:
        from rules.redaction.phone import is_region  # slow to import, and most configs have no region

        if value is not None and not is_region(value):
            raise ValueError("a region of two capital letters is expected, such as DE, US or GB")
        return value

    @field_validator("plugin")
    @classmethod
    def _plugin(cls, value: str | None) -> str | None:
        if value is not None and not _PLUGIN.fullmatch(value):
            raise ValueError("a function is expected as module:function, such as my_redaction:find")
        return value


def _fault(name: str, pattern: str) -> str:
    if not _NAME.fullmatch(name):
        return "a name of letters, digits and `_` is expected, at most 40"
    if name.lower() in DETECTORS:
        return "is the name of a detector"
    return pattern_error(pattern)


@dataclass(frozen=True)
class Passed:
    """What came through the door, and what was found in it: ``"EMAIL 2, IP 1"``, or "" where nothing was."""

    values: tuple[Any, ...]
    found: str


class Door:
    """Redacts what goes into datasets; with ``False`` for a config everything passes as it is."""

    def __init__(self, config: RedactionConfig | Literal[False]) -> None:
        self._redactor = None if config is False else redactor_of(config)

    @property
    def fingerprint(self) -> str:
        """Which redaction it is; "" for none."""
        return "" if self._redactor is None else self._redactor.fingerprint

    def passed(self, *values: Any) -> Passed:
        """The JSON values of one record, redacted together.

        Raises:
            Refused: they cannot be redacted; nothing of them may be written.
        """
        if self._redactor is None:
            return Passed(values, "")
        try:
            redacted = self._redactor.record(*values)
        except RedactionError as error:
            raise Refused(f"not redacted, so not written: {error}") from error
        return Passed(redacted.values, summary(redacted.counts))


def summary(counts: Mapping[str, int]) -> str:
    """How many values of each kind, for a person to read."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def redactor_of(config: RedactionConfig) -> Redactor:
    """The redactor of a config; its plugin is imported at the first record."""
    return Redactor(
        config.detectors,
        config.patterns,
        config.region,
        None if config.plugin is None else _late(config.plugin),
        config.plugin or "",
    )


def plugin_problem(config: RedactionConfig | Literal[False]) -> str:
    """Why the plugin cannot be called; empty if it can, or there is none."""
    if config is False or config.plugin is None:
        return ""
    try:
        _imported(config.plugin)
    except PluginError as error:
        return str(error)
    return ""


def _late(name: str) -> Plugin:
    def call(texts: Sequence[str]) -> Any:
        return _imported(name)(texts)

    return call


def _imported(name: str) -> Plugin:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module of the user's own may raise anything
        raise PluginError(f"{name} cannot be imported ({type(error).__name__})") from error
    if not callable(found):
        raise PluginError(f"{name} is no function")
    plugin: Plugin = found
    return plugin

"""Environment variables of the config, ``TRACESIEVE_<KEY>`` with ``__`` between levels."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from rules.diagnostics import Diagnostic
from tracesieve.config.file import last_part

PREFIX = "TRACESIEVE_"


class NotJson(ValueError):  # noqa: N818
    """The value of a variable is not the JSON that its key needs, such as a list."""

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable


class Variables(EnvSettingsSource):
    """The environment as a source of settings."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A value that should be JSON.

        Raises:
            NotJson: it is not; names the variable.
        """
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            raise NotJson(_variable_with(field_name, value)) from error


def _variable_with(key: str, value: Any) -> str:
    """The variable that gives ``value`` to a key of that name, as it is spelled."""
    named = (name for name, given in os.environ.items() if given == value and _ends_with(name, key))
    return next(named, f"{PREFIX}{key.upper()}")


def _ends_with(variable: str, key: str) -> bool:
    parts = variable.upper().removeprefix(PREFIX).split("__")
    return variable.upper().startswith(PREFIX) and parts[-1] == key.upper()


def set_by(loc: Sequence[str]) -> str | None:
    """The environment variable that set the key at ``loc`` or a part above it, as it is spelled there."""
    spelled = {name.upper(): name for name in os.environ}
    for parts in (loc, [*loc[:1], *loc[2:]]):  # the second is a union's tag, which no variable has
        for depth in range(len(parts), 0, -1):
            name = PREFIX + "__".join(parts[:depth]).upper()
            if name in spelled:
                return spelled[name]
    return None


def fault(variable: str, message: str, hint: str = "") -> Diagnostic:
    """What is wrong with a variable."""
    return Diagnostic("", message, hint, file=variable)


def misspelt(paths: Collection[str]) -> list[Diagnostic]:
    """Variables that nearly name a key, or name one without the part that it stands in.

    Others with our prefix may well be secrets, which have any name. ``paths`` is every key of the config, as
    ``part.key``.
    """
    known = {path for path in paths if "." not in path}
    found = []
    for name in sorted(os.environ):
        key = name.removeprefix(PREFIX).split("__")[0].lower()
        if not name.startswith(PREFIX) or key in known:
            continue
        same_name = [path for path in paths if last_part(path) == key]
        for one in same_name or difflib.get_close_matches(key, known, 1, 0.8):
            hint = f"did you mean `{PREFIX}{one.upper().replace('.', '__')}`?"
            found.append(fault(name, "sets no key", hint))
    return found

"""Environment variables of the config, ``TRACESIEVE_<KEY>`` with ``__`` between levels."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from rules.diagnostics import Diagnostic
from tracesieve.config.file import last_part, nearest_keys

PREFIX = "TRACESIEVE_"
_SECRETS = ("_PASSWORD", "_TOKEN", "_SECRET", "_KEY")


class Variables(EnvSettingsSource):
    """The environment as a source of settings."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A value that should be JSON; one that is not stays the text that it is, which its key then
        refuses.
        """
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


@dataclass(frozen=True)
class Setting:
    """A variable that sets a key: its name as it is spelled, what is below it, and its value."""

    name: str
    rest: tuple[str, ...] = ()
    value: Any = None


def set_by(loc: Sequence[str]) -> Setting | None:
    """What set the key at ``loc``, a part above it, or something below it as if it had keys."""
    spelled = {name.upper(): name for name in os.environ}
    for parts in (loc, [*loc[:1], *loc[2:]]):  # the second is a union's tag, which no variable has
        for depth in range(len(parts), 0, -1):
            name = _name(parts[:depth])
            if name in spelled:
                return Setting(spelled[name], tuple(parts[depth:]), _value(os.environ[spelled[name]]))
        below = sorted(one for one in spelled if one.startswith(_name(parts) + "__"))
        if below:
            return Setting(spelled[below[0]])
    return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _name(parts: Sequence[str]) -> str:
    return PREFIX + "__".join(parts).upper()


def key_of(variable: str) -> tuple[str, ...]:
    """The key that a variable sets."""
    return tuple(variable[len(PREFIX) :].lower().split("__"))


def chosen(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file's data with the kinds (``source.kind``) that variables choose, since these have other keys."""
    found = dict(data)
    for name, value in os.environ.items():
        parts = key_of(name) if name.upper().startswith(PREFIX) else ()
        if len(parts) == 2 and parts[1] == "kind":
            of_file = found.get(parts[0])
            found[parts[0]] = {**(of_file if isinstance(of_file, Mapping) else {}), "kind": value}
    return found


def fault(variable: str, message: str, hint: str = "") -> Diagnostic:
    """What is wrong with a variable."""
    return Diagnostic("", message, hint, file=variable)


def nearest_hint(variable: str, paths: Collection[str]) -> str:
    """The variable that one with an unknown last part may stand for."""
    *above, last = key_of(variable)
    near = nearest_keys((*above, last), paths)
    whole = [one if "." in one else ".".join((*above, one)) for one in near]
    return _meant(one for one in whole if one in paths)


def misspelt(paths: Collection[str], single: Collection[str], data: Mapping[str, Any]) -> list[Diagnostic]:
    """Variables that set no key and nearly name one, or name one without the part that it stands in.

    Others with our prefix may well be secrets, which have any name; those that the config names are.
    ``paths`` is every key of the config, as ``part.key``; ``single``: those at the top that hold one value.
    """
    parts = {path for path in paths if "." not in path}
    secrets = set(_named_secrets(data)) | {
        value for name, value in os.environ.items() if name.upper().endswith("_ENV")
    }
    found = []
    for name in sorted(os.environ):
        first, *more = key_of(name)
        sets_key = first in parts and not (more and first in single)
        if name.upper().startswith(PREFIX) and not sets_key and name not in secrets:
            meant = [first] if first in parts else _near(name, paths)
            if meant:
                found.append(fault(name, "sets no key", _meant(meant)))
    return found


def _near(name: str, paths: Collection[str]) -> list[str]:
    """The keys that a variable nearly names."""
    key = _plain(name.upper()[len(PREFIX) :])
    by_form: dict[str, list[str]] = {}
    for path in paths:
        by_form.setdefault(_plain(path), []).append(path)
        by_form.setdefault(_plain(last_part(path)), []).append(path)
    if key in by_form or name.upper().endswith(_SECRETS):
        return by_form.get(key, [])
    return [path for form in difflib.get_close_matches(key, by_form, 1, 0.8) for path in by_form[form]]


def _plain(key: str) -> str:
    """A key without regard to what stands between its parts."""
    return re.sub(r"[._-]+", "_", key).strip("_").lower()


def _meant(paths: Iterator[str] | list[str]) -> str:
    names = " or ".join(f"`{_name(path.split('.'))}`" for path in dict.fromkeys(paths))
    return f"did you mean {names}?" if names else ""


def _named_secrets(value: Any) -> Iterator[str]:
    """The variables that keys ``…_env`` name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, str) and str(key).endswith("_env"):
                yield inner
            yield from _named_secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_secrets(inner)

"""What is wrong with a rule file, a condition or the config: one form for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning"]
Path = tuple[str | int, ...]


class Place(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Diagnostic:
    """One thing that is wrong, and where.

    Whoever finds it gives what is known there; :meth:`at` adds the place in the file later.

    Attributes:
        code: the kind of fault, for scripts; the config has none.
        message: what is wrong, on one line.
        hint: how to mend it; may be empty.
        severity: an error stops the load, a warning does not.
        path: the keys and indexes that lead to the value, from the top of the rule or of the config.
        file: the file, or the name of an environment variable.
        line: from 1, in the file or in the text of a condition; 0 where there is none.
        column: from 1; 0 where there is none.
        rule: the id of the rule; empty outside rules.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = "error"
    path: Path = ()
    file: str = ""
    line: int = 0
    column: int = 0
    rule: str = ""

    @property
    def key(self) -> str:
        """The path as text, such as ``alerts.alertmanager.0.url``."""
        return ".".join(map(str, self.path))

    def at(self, place: Place, rule: str = "") -> Diagnostic:
        """The same with its place in a rule file."""
        return replace(self, file=place.file, line=place.line, column=place.column, rule=rule)

    def as_json(self) -> dict[str, str | int]:
        """The values that ``rules lint --json`` gives."""
        names = ("file", "line", "column", "code", "message", "hint", "severity", "rule")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        """``file:line:column: error code message (hint)``; of the config ``file:line: key: message``."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        key = f"{self.key or '-'}: " if self.line else ""
        subject = f"{self.severity} {self.code} " if self.code else key
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {subject}{self.message}{hint}"


def raised_by(problem: Mapping[str, Any]) -> str | None:
    """The message of the error that a validator raised; None where one pydantic error is of another kind."""
    raised = problem.get("ctx", {}).get("error")
    return str(raised) if isinstance(raised, ValueError | AssertionError) else None


def errors_among(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that stop a load."""
    return [one for one in diagnostics if one.severity == "error"]


def errors_first(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that stop a load before the others; otherwise in the order that they have."""
    return sorted(diagnostics, key=lambda one: one.severity != "error")

"""What pydantic finds wrong with a config, in words: one diagnostic for each key, at its line of the file or
at its environment variable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from rules.condition_key import ConditionTextError
from rules.diagnostics import Diagnostic
from rules.loading.expected import expected, lists_choices, nearest, one_of, written
from rules.loading.shape import path_of
from tracesieve.config import variables
from tracesieve.config.file import ConfigFile
from tracesieve.config.keys import described, kinds_of

_JSON = {"a list": """'["a", "b"]'""", "a mapping": """'{"a": 1}'"""}
Problem = Mapping[str, Any]


class Faults:
    """Turns the errors of one load into diagnostics; ``paths`` is every key of the config."""

    def __init__(self, file: ConfigFile, model: type[BaseModel], paths: Collection[str]) -> None:
        self._file, self._model, self._paths = file, model, paths

    def of(self, problems: Sequence[Problem]) -> Iterator[Diagnostic]:
        """A diagnostic for each key: where it may be of several types, pydantic has an error for each."""
        found: dict[tuple[str, tuple[str, ...]], list[Problem]] = {}
        for problem in problems:
            found.setdefault(self._place(problem), []).append(problem)
        for (variable, path), of_key in found.items():
            inner = any(key[0] == variable and _within(key[1], path) for key in found)
            if not (inner and _is_shape(of_key)):  # another type was tried, and is not what was meant
                yield from self._diagnostics(variable, path, of_key)

    def _place(self, problem: Problem) -> tuple[str, tuple[str, ...]]:
        """The variable that set the key, or "" for the file, and the key without the types that were tried.

        A key of the kind of a source is below its tag, which neither the file nor a variable has.
        """
        loc = [str(part) for part in problem["loc"]]
        if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            loc.append(str(problem["ctx"]["discriminator"]).strip("'"))
        if setting := variables.set_by(loc):
            rest = {"loc": [_index(part) for part in setting.rest], "type": problem["type"]}
            return setting.name, tuple(str(part) for part in path_of(rest, setting.value))
        lacking = problem["type"] in ("missing", "union_tag_not_found", "extra_forbidden")
        path = [*self._file.path_of(loc[:-1]), loc[-1]] if lacking else self._file.path_of(loc) or loc
        return "", tuple(path)

    def _diagnostics(
        self, variable: str, path: tuple[str, ...], problems: list[Problem]
    ) -> Iterator[Diagnostic]:
        raised = (one.get("ctx", {}).get("error") for one in problems)
        condition = next((one for one in raised if isinstance(one, ConditionTextError)), None)
        if condition is not None and not variable:
            yield from self._file.inside(path, condition.diagnostics)
        else:
            yield self._diagnostic(variable, path, problems)

    def _diagnostic(self, variable: str, path: tuple[str, ...], problems: list[Problem]) -> Diagnostic:
        kind = problems[0]["type"]
        if variable:
            return self._of_variable(variable, path, problems)
        if kind in ("extra_forbidden", "invalid_key"):
            return self._file.unknown_key(path, self._paths)
        if kind == "missing":
            return self._file.missing_key(path)
        if kind == "union_tag_not_found":
            return replace(self._file.missing_key(path), hint=one_of(kinds_of(self._model, path[0])))
        return self._file.fault(path, expected(problems), self._hint(path, problems))

    def _of_variable(self, variable: str, path: tuple[str, ...], problems: list[Problem]) -> Diagnostic:
        kind = problems[0]["type"]
        below = f"`{'.'.join(path)}`: " if path else ""
        if kind in ("extra_forbidden", "invalid_key"):
            hint = "" if path else variables.nearest_hint(variable, self._paths)
            return variables.fault(variable, f"{below}unknown key", hint)
        if kind in ("missing", "union_tag_not_found"):
            return variables.fault(variable, f"{below}is required")
        whole, wanted = (*variables.key_of(variable), *path), expected(problems)
        if not path and isinstance(problems[0].get("input"), str):
            for noun, example in _JSON.items():
                if wanted.startswith(noun):
                    return variables.fault(variable, wanted, f"as JSON, such as {example}")
        return variables.fault(variable, below + wanted, self._hint(whole, problems))

    def _hint(self, path: Sequence[str], problems: list[Problem]) -> str:
        """The choice that may be meant, how to write a text, or what the key is for."""
        value = problems[0].get("input")
        if near := nearest(problems[0]):
            return f"did you mean {near}?"
        if problems[0]["type"] == "string_type" and isinstance(value, int | float):
            return f"quote it: {str(value).lower()!r}"
        if problems[0]["type"] in ("list_type", "tuple_type") and isinstance(value, str) and value:
            return f"write [{written(value)}]"
        if lists_choices(problems[0]) or not _is_shape(problems):
            return ""
        return described(self._model, path, self._file.data)


def _is_shape(problems: list[Problem]) -> bool:
    return all(one["type"] not in ("value_error", "assertion_error") for one in problems)


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _index(part: str) -> str | int:
    return int(part) if part.isdigit() else part

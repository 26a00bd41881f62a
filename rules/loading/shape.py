"""Where in a rule the things are that pydantic finds wrong with its shape: those of one value together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rules.diagnostics import Path


def path_of(problem: Mapping[str, Any], item: Any) -> Path:
    """Where a problem is in the rule, without the types that pydantic tried there."""
    path: list[str | int] = []
    parts = [part for part in problem["loc"] if isinstance(part, str | int)]
    for number, part in enumerate(parts, 1):
        if _has(item, part):
            item = item[part]
        elif not (problem["type"] == "missing" and number == len(parts)):
            continue
        path.append(part)
    return tuple(path)


def _has(item: Any, part: str | int) -> bool:
    if isinstance(item, dict):
        return part in item
    return isinstance(item, list) and isinstance(part, int) and part < len(item)


def by_path(problems: Iterable[Mapping[str, Any]], item: Any) -> dict[Path, list[Mapping[str, Any]]]:
    """The problems of each value: of a value that may be a text or a number, pydantic has one for each."""
    found: dict[Path, list[Mapping[str, Any]]] = {}
    for problem in problems:
        found.setdefault(path_of(problem, item), []).append(problem)
    return found

"""What pydantic finds wrong with the shape of a rule, in the words of a rule file: one diagnostic for each
value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rules.diagnostics import Path, message_of

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "datetime_type": "a time such as 2026-01-31T08:00:00Z",
    "datetime_parsing": "a time such as 2026-01-31T08:00:00Z",
    "datetime_from_date_parsing": "a time such as 2026-01-31T08:00:00Z",
}
TEXT = _EXPECTED["string_type"]


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


def expected(problems: Iterable[Mapping[str, Any]]) -> str:
    """What a value should have been, such as ``a text, a number or true or false is expected``."""
    words = list(dict.fromkeys(_words(problem) for problem in problems))
    if "a number" in words and "a whole number" in words:
        words.remove("a whole number")
    if all(word in _EXPECTED.values() for word in words):
        return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) + " is expected"
    return words[0]


def _words(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "literal_error":
        return f"one of {context['expected']} is expected"
    if kind in ("greater_than_equal", "less_than_equal"):
        least = kind == "greater_than_equal"
        return f"at {'least' if least else 'most'} {context['ge' if least else 'le']:g} is expected"
    return _EXPECTED.get(kind) or message_of(problem)

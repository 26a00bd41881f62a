"""What a value of a rule file or of the config should have been, in words: every kind of error that pydantic
has, without its jargon and without regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any

from rules.diagnostics import raised_by

TEXT = "a text"
_TIME = "a time such as 2026-01-31T08:00:00Z"
# By the beginning of the error's name; the first that fits.
_BY_BEGINNING = {
    "string_": TEXT,
    "bytes_": TEXT,
    "int_": "a whole number",
    "float_": "a number",
    "decimal_": "a number",
    "fraction_": "a number",
    "finite_": "a number",
    "bool_": "true or false",
    "list_": "a list",
    "tuple_": "a list",
    "set_": "a list",
    "frozen_set_": "a list",
    "iterable_": "a list",
    "dict_": "a mapping",
    "mapping_": "a mapping",
    "model_": "a mapping",
    "dataclass_": "a mapping",
    "datetime_": _TIME,
    "date_": "a day such as 2026-01-31",
    "none_": "nothing",
    "url_": "an address such as http://127.0.0.1:5000",
}
_NOTHING_FITS = "a value of another form"
_MOST_SHOWN = 60
_LOGIN = re.compile(r"//[^/\s@]*@")


def expected(problems: Iterable[Mapping[str, Any]]) -> str:
    """What one value should have been and is, such as ``a text or a number is expected, not true``.

    ``problems`` are pydantic's errors at that value: one for each type that it may have.
    """
    problems = list(problems)
    shown = written(problems[0].get("ctx", {}).get("tag", problems[0].get("input")))
    for problem in problems:
        if (message := raised_by(problem)) is not None:
            of_value = not isinstance(problem.get("input"), Mapping | list | tuple)
            return f"{message}, not {shown}" if of_value and shown not in message else message
    wanted = list(dict.fromkeys(name_of(problem) for problem in problems))
    if "a number" in wanted and "a whole number" in wanted:
        wanted.remove("a whole number")
    return f"{one_of(wanted)} is expected, not {shown}"


def one_of(words: list[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def name_of(problem: Mapping[str, Any]) -> str:
    """What one error of pydantic asks for, as a noun."""
    kind, context = str(problem["type"]), problem.get("ctx", {})
    for found in (_choice(kind, context), _bound(kind, context), _length(kind, context)):
        if found:
            return found
    if kind == "string_pattern_mismatch":
        return "a text of another form"
    return next((noun for start, noun in _BY_BEGINNING.items() if kind.startswith(start)), _NOTHING_FITS)


def nearest(problem: Mapping[str, Any]) -> str:
    """The one of the texts that a value must be one of that is most like it; empty where none is."""
    context = problem.get("ctx", {})
    choices = re.findall(r"'([^']*)'", str(context.get("expected_tags") or context.get("expected") or ""))
    given = context.get("tag", problem.get("input"))
    found = get_close_matches(given.lower(), choices, 1) if isinstance(given, str) else []
    return found[0] if found else ""


def lists_choices(problem: Mapping[str, Any]) -> bool:
    """Whether the message of an error lists all that the value may be."""
    return problem["type"] in ("literal_error", "enum", "union_tag_invalid")


def _choice(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "union_tag_invalid":
        return "one of " + one_of(str(context["expected_tags"]).split(", "))
    if kind not in ("literal_error", "enum"):
        return ""
    listed = str(context["expected"])
    return (
        f"one of {listed}" if " or " in listed else listed.replace("False", "false").replace("True", "true")
    )


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    phrases = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
        "greater_than": ("more than", "gt"),
        "less_than": ("less than", "lt"),
        "multiple_of": ("a multiple of", "multiple_of"),
    }
    if kind not in phrases:
        return ""
    phrase, key = phrases[kind]
    return f"{phrase} {context.get(key, '')}".strip()


def _length(kind: str, context: Mapping[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    if kind == "string_too_short":
        return "a text that is not empty" if least == 1 else f"a text of at least {least} characters"
    if kind == "string_too_long":
        return f"a text of at most {most} characters"
    if kind == "too_short":
        return "a list that is not empty" if least == 1 else f"at least {least} entries"
    return f"at most {most} entries" if kind == "too_long" else ""


def written(value: Any) -> str:
    """A value as a file has it, short and without a login; of a list or a mapping only that it is one."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple | set):
        return "a list" if value else "an empty list"
    text = value.isoformat() if isinstance(value, date) else _LOGIN.sub("//…@", str(value))
    text = text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
    return repr(text) if isinstance(value, str) else text

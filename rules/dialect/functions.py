"""The functions of conditions: their parameters, results, what each means and an example.

They have the names and the meaning of Spark SQL's, except ``number`` and ``has``, for which Spark has no
short word.  The parser checks calls by this table, the matcher computes them
(``rules/matcher/functions.py``), and ``docs/rules.md`` lists it.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rules.dialect.nodes import Call, Literal_, Node, Not, Type
from rules.dialect.nodes import IsNull as _IsNull
from rules.dialect.types import scopes_of, type_of


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        parameters: the type of each argument; empty: any number of arguments of one type.
        result: the type of the value; ``null``: that of the arguments.
        form: how it is written.
        meaning: what it gives, for the reference.
        example: a condition that uses it.
    """

    parameters: tuple[Type, ...]
    result: Type
    form: str
    meaning: str
    example: str


FUNCTIONS = {
    "length": Function(("text",), "number", "length(text)", "how many characters", "length(response) < 20"),
    "lower": Function(("text",), "text", "lower(text)", "in lower case", "lower(tags.env) = 'prod'"),
    "upper": Function(("text",), "text", "upper(text)", "in upper case", "upper(tags.env) = 'PROD'"),
    "coalesce": Function(
        (),
        "null",
        "coalesce(a, b, …)",
        "the first that is not null; texts, or numbers",
        "coalesce(tags.env, 'none') <> 'prod'",
    ),
    "number": Function(
        ("text",),
        "number",
        "number(text)",
        "the number that a text is, null if it is none (Spark: `try_cast(text AS DOUBLE)`)",
        "number(tags.retries) + 1 > 3",
    ),
    "hour": Function(
        ("time",), "number", "hour(time)", "0 to 23, UTC", "hour(request_time) BETWEEN 8 AND 17"
    ),
    "dayofweek": Function(
        ("time",), "number", "dayofweek(time)", "1 (Sunday) to 7, UTC", "dayofweek(request_time) IN (1, 7)"
    ),
    "from_utc_timestamp": Function(
        ("time", "text"),
        "time",
        "from_utc_timestamp(time, 'ZONE')",
        "the time as clocks of a zone show it",
        "hour(from_utc_timestamp(request_time, 'Europe/Berlin')) < 6",
    ),
    "has": Function(
        ("null",),
        "truth",
        "has(field)",
        "whether there is a value (SQL: `field IS NOT NULL`)",
        "has(tags.ticket) AND NOT has(metadata.team)",
    ),
}
# What comes of the spans of a trace, for the same reference; the parser has a rule for each form.
OVER_SPANS = {
    "any": (
        "any(span, c)",
        "whether `c` is true for a span",
        "any(span, type = 'TOOL' AND status = 'ERROR')",
    ),
    "all": ("all(span, c)", "whether `c` is true for every span", "all(span, status = 'OK')"),
    "count": ("count(span[, c])", "how many spans", "count(span, type = 'LLM') > 10"),
    "sum": ("sum(span, n[, c])", "the sum of a number", "sum(span, duration_ms, type = 'TOOL') > 5000"),
    "max": ("max(span, n[, c])", "the largest number", "max(span, duration_ms) > 30000"),
    "min": ("min(span, n[, c])", "the smallest number", "min(span, tokens.output, type = 'LLM') = 0"),
    "avg": ("avg(span, n[, c])", "the mean of a number", "avg(span, duration_ms, model = 'gpt-4o') > 2000"),
}
_ELSEWHERE = {
    "len": "length",
    "char_length": "length",
    "character_length": "length",
    "size": "length",
    "lcase": "lower",
    "ucase": "upper",
    "ifnull": "coalesce",
    "nvl": "coalesce",
    "mean": "avg",
    "average": "avg",
    "maximum": "max",
    "minimum": "min",
    "cast": "number",
    "try_cast": "number",
    "float": "number",
    "double": "number",
    "int": "number",
    "exists": "any",
    "some": "any",
    "forall": "all",
    "every": "all",
    "weekday": "dayofweek",
    "day_of_week": "dayofweek",
    "isnotnull": "has",
}


def listed() -> list[tuple[str, str, str]]:
    """All functions for a reference: how each is written, what it gives, and an example."""
    of_values = [(one.form, one.meaning, one.example) for one in FUNCTIONS.values()]
    return [*of_values, *OVER_SPANS.values()]


def known_functions(scope: str) -> list[str]:
    """The functions that a condition may call in a scope: trace, spans or measure."""
    if scope == "measure":
        return ["coalesce"]
    return [*(OVER_SPANS if scope == "trace" else ()), *FUNCTIONS]


def unknown_function(scope: str, name: str) -> tuple[str, str, str]:
    """What is wrong with a call of a function that there is not: code, message and hint."""
    known = known_functions(scope)
    lower = name.lower()
    if lower in OVER_SPANS and scope == "spans":
        return "scope", f"`{lower}` cannot stand inside another function over spans", "join the two with AND"
    if lower in OVER_SPANS or lower in FUNCTIONS:
        return "scope", f"`{lower}` is for conditions on a trace", "a window has measures, such as p95_ms"
    near = _ELSEWHERE.get(lower) or next(iter(get_close_matches(lower, known, 1)), "")
    hint = f"did you mean `{near}`?" if near in known else f"there are: {', '.join(known)}"
    return "unknown-function", f"unknown function `{name}`", hint


def call(name: str, arguments: list[Node]) -> tuple[Node, str, str]:
    """A call of a known function, what is wrong with it (empty: nothing), and a hint."""
    function = FUNCTIONS[name]
    wrong, hint = _wrong(name, function, arguments)
    if wrong:
        return Literal_(None), wrong, hint
    if name == "has":
        return Not(_IsNull(arguments[0])), "", ""
    result = function.result
    if result == "null":
        result = next((found for one in arguments if (found := type_of(one)) != "null"), "null")
    return Call(name, tuple(arguments), result), "", ""


def _wrong(name: str, function: Function, arguments: list[Node]) -> tuple[str, str]:
    types = [type_of(one) for one in arguments]
    if name == "coalesce":
        return _wrong_coalesce(arguments, types)
    if len(arguments) != len(function.parameters):
        return f"`{name}` takes {len(function.parameters)} of them, not {len(arguments)}", _form(function)
    for number, (found, wanted) in enumerate(zip(types, function.parameters, strict=True)):
        if found not in (wanted, "null") and wanted != "null":
            return f"`{name}` needs {article(wanted)}, not {article(found)}", _hint(name, found)
        if number and not _is_zone(arguments[number]):
            return f"there is no time zone {arguments[number]}", "write a name such as 'Europe/Berlin'"
    return "", ""


def _wrong_coalesce(arguments: list[Node], types: list[Type]) -> tuple[str, str]:
    if any("assessments" in scopes_of(one) for one in arguments):
        return "a feedback or expectation may have several values", "write `has(feedback.x) AND …`"
    if len(arguments) < 2:
        return "`coalesce` takes two values or more", _form(FUNCTIONS["coalesce"])
    found = set(types) - {"null"}
    if found - {"text", "number"} or len(found) > 1:
        return "`coalesce` needs texts, or numbers", "`number(…)` makes a number of a text"
    return "", ""


def _form(function: Function) -> str:
    return f"write {function.form}"


def _hint(name: str, found: Type) -> str:
    if FUNCTIONS[name].parameters[0] == "time":
        return f"write {name}(request_time)" if name != "from_utc_timestamp" else _form(FUNCTIONS[name])
    return "it is a number already" if name == "number" and found == "number" else ""


def _is_zone(node: Node) -> bool:
    if not isinstance(node, Literal_) or not isinstance(node.value, str):
        return False
    try:
        ZoneInfo(node.value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def article(type_: Type) -> str:
    """A type in the words of messages."""
    return {
        "text": "a text",
        "number": "a number",
        "truth": "true or false",
        "time": "a time",
        "null": "nothing",
    }[type_]

"""Running the tests that rules carry, through the one matcher, without Java."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rules.kinds.short_trace import short_trace
from rules.matcher import Matcher, explain, raw_table
from rules.rule import Rule


@dataclass(frozen=True)
class Failure:
    """A test of a rule whose trace should match and does not, or the other way round."""

    rule: str
    number: int
    expected: bool
    trace: str
    why: str = ""  # the parts of the condition and what each came to


def run_tests(rule: Rule) -> list[Failure]:
    """Run a rule's own tests of its condition on a trace; the failures, none if all is well."""
    condition = rule.per_trace
    if condition is None:
        return []
    failures, matcher = [], Matcher([condition])
    for number, (expected, text) in enumerate(rule.tests, 1):
        table = raw_table(short_trace(json.loads(text)), matcher.columns)
        matched = bool(matcher.match(table)[0, 0])
        if matched != expected:
            failures.append(Failure(rule.id, number, expected, text, _why(explain(condition, table))))
    return failures


def _why(part: Mapping[str, Any]) -> str:
    """The leaves of an explanation on one line."""
    if part.get("parts"):
        return "; ".join(_why(inner) for inner in part["parts"])
    return f"{part.get('text')} is {part.get('result', part.get('matched'))}"

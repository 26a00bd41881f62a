"""The tests that rules carry, run through the matcher that live traces go through."""

from __future__ import annotations

from typing import Any

import pytest

from rules.kinds.trace import TraceRule
from rules.loading.packs import load_packs
from rules.loading.rule_tests import run_tests
from rules.rule_set import build, parse_rule


def rule(when: str, match: list[dict[str, Any]], no_match: list[dict[str, Any]]) -> TraceRule:
    built = build(
        parse_rule({"id": "r", "when": when, "tag": "t", "tests": {"match": match, "no_match": no_match}})
    )
    assert isinstance(built, TraceRule)
    return built


def test_every_trace_rule_of_the_default_pack_passes_its_tests_both_ways() -> None:
    rule_set = load_packs(["default"], ("experiment", "trace_name")).rule_set
    assert rule_set is not None
    for shipped in rule_set.trace_rules:
        assert {expected for expected, _ in shipped.tests} == {True, False}, shipped.id
        assert run_tests(shipped) == []


@pytest.mark.parametrize(
    ("when", "match", "no_match"),
    [
        ("tags.environment = 'production'", {"tags": {"environment": "production"}}, {}),
        ("tags.beta = 'true'", {"tags": {"beta": True}}, {"tags": {"beta": False}}),
        ("metadata.n = '3'", {"metadata": {"n": 3}}, {"metadata": {"n": 4}}),
        ("trace_name = 'chat'", {"name": "chat"}, {"name": "other"}),
        ("experiment = 'e'", {"experiment": "e"}, {}),
        ("tokens.total > 10", {"tokens": {"input": 6, "output": 5}}, {"tokens": {"total": 10}}),
        ("cost.total >= 0.5", {"cost": 0.5}, {"cost": 0.4}),
        ("request LIKE '%refund%'", {"request": "a refund"}, {"response": "a refund"}),
        (
            "any(span, name = 'x' AND duration_ms > 5)",
            {"spans": [{"name": "x", "duration_ms": 6}]},
            {"spans": [{"name": "x"}]},
        ),
        (
            "any(span, attributes.k = 'v')",
            {"spans": [{"attributes": {"k": "v"}}]},
            {"spans": [{"attributes": {}}]},
        ),
        ("feedback.safe = 'no'", {"feedback": {"safe": "no"}}, {"feedback": {"safe": "yes"}}),
    ],
)
def test_the_short_form_says_what_a_trace_would(
    when: str, match: dict[str, Any], no_match: dict[str, Any]
) -> None:
    assert run_tests(rule(when, [match], [no_match])) == []


def test_a_failure_names_the_test_and_what_each_part_came_to() -> None:
    failures = run_tests(
        rule(
            "status = 'ERROR' AND tags.a = 'b'",
            [{"status": "ERROR"}],
            [{"status": "ERROR", "tags": {"a": "b"}}],
        )
    )
    assert [(failure.number, failure.expected) for failure in failures] == [(1, True), (2, False)]
    assert failures[0].why == "status = 'ERROR' is True; tags.a = 'b' is None"

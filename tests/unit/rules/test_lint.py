"""Conditions that can never be true are errors; those that may be, are not reported."""

from __future__ import annotations

from typing import Literal

import pytest

from rules.dialect import compile_condition
from rules.dialect.contradictions import never_true
from rules.errors import ConditionError
from rules.loading.packs import load_packs


def reported(text: str, kind: Literal["trace", "measure"] = "trace") -> bool:
    try:
        return bool(never_true(compile_condition(text, kind=kind).node))
    except ConditionError as error:
        return [finding.code for finding in error.diagnostics] == ["never-true"]


@pytest.mark.parametrize(
    "text",
    [
        "status = 'OK' AND status = 'ERROR'",
        "status = 'error'",
        "status IN ('OK', 'ERROR') AND NOT status IN ('OK', 'ERROR')",
        "execution_time_ms > 10 AND execution_time_ms < 10",
        "execution_time_ms < 0",
        "execution_time_ms BETWEEN 20 AND 10",
        "tokens.total > 5 AND tokens.total IS NULL",
        "tags.a = NULL",
        "tags.a <> tags.a",
        "FALSE",
        "NOT TRUE",
        "status NOT IN ('ERROR', NULL)",
        "NOT (status = 'OK' OR status <> 'OK')",
        "any(span, duration_ms < 0)",
        "count(span, type = 'TOOL') < 0",
        "count(span, type = 'A' AND type = 'B') > 0",
        "status = 'OK' AND (tags.a = 'x' AND tags.a = 'y' OR tokens.total < -1)",
    ],
)
def test_what_can_never_be_true_is_reported(text: str) -> None:
    assert reported(text)


@pytest.mark.parametrize(
    "text",
    [
        "status = 'OK' OR status = 'ERROR'",
        "status <> 'OK'",
        "NOT status = 'OK'",
        "execution_time_ms >= 10 AND execution_time_ms <= 10",
        "execution_time_ms <= 0",
        "tags.a IS NULL",
        "NOT tags.a IS NULL AND tags.a = 'x'",
        "any(span, type = 'A') AND any(span, type = 'B')",
        "all(span, type = 'A' AND type = 'B')",
        "count(span, type = 'TOOL') = 0",
        "NOT any(span, FALSE)",
        "5 < tokens.total AND tokens.total < 7",
        "tags.a > 'a' AND tags.a < 'b'",
        "feedback.x = 'a' AND feedback.x = 'b'",
        "status = 'OK' AND (tags.a = 'x' OR tags.a = 'y') AND tags.a IN ('y', 'z')",
    ],
)
def test_what_may_be_true_is_not_reported(text: str) -> None:
    assert not reported(text)


@pytest.mark.parametrize(
    ("text", "never"),
    [("error_rate > 1", True), ("error_rate >= 1", False), ("p95_ms < 0", True), ("traces = 0", False)],
)
def test_measures_have_ranges(text: str, never: bool) -> None:
    assert reported(text, "measure") is never


def test_the_default_pack_has_no_such_condition() -> None:
    assert load_packs(["default"], ("experiment", "trace_name")).diagnostics == []

"""Which spans decided a condition: their names, types and the terms that they meet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.trace_rows import feedback, span, traces

from rules.dialect import compile_condition
from rules.matcher import explain, explained_columns, raw_table
from rules.matcher.deciding import MOST

SPANS = [
    span("plan", "LLM"),
    span("search", "TOOL", "ERROR", k="9"),
    span("fetch", "TOOL", "ERROR", k="1"),
    span("answer", "LLM", ms=9000),
]


def explained(text: str, row: dict[str, Any] | None = None) -> dict[str, Any]:
    condition = compile_condition(text)
    table = raw_table(traces(row or {"spans": SPANS}), explained_columns(condition))
    found = explain(condition, table)
    json.dumps(found)
    return found


def deciding(found: dict[str, Any], scope: str = "spans") -> list[tuple[Any, ...]]:
    parts = [found, *found["parts"]]
    return [(one["name"], one.get("type"), one["terms"]) for part in parts for one in part.get(scope, [])]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (
            "any(span, type = 'TOOL' AND status = 'ERROR' AND attributes.k = '9')",
            [("search", "TOOL", ["span.type = 'TOOL'", "span.status = 'ERROR'", "attributes.k = '9'"])],
        ),
        (
            "span.type = 'TOOL' AND span.name = 'fetch'",
            [("fetch", "TOOL", ["span.type = 'TOOL'", "span.name = 'fetch'"])],
        ),
        (
            "any(span, status = 'ERROR' AND name = 'none' OR duration_ms > 5000)",
            [("answer", "LLM", ["span.duration_ms > 5000.0"])],
        ),
        ("any(span, type = 'RERANKER')", []),
        (
            "all(span, type = 'TOOL' OR name = 'plan')",
            [("answer", "LLM", ["span.type = 'TOOL'", "span.name = 'plan'"])],
        ),
        ("all(span, name <> '')", []),
        (
            "count(span, type = 'TOOL') > 1",
            [("search", "TOOL", ["span.type = 'TOOL'"]), ("fetch", "TOOL", ["span.type = 'TOOL'"])],
        ),
        ("NOT any(span, name = 'plan')", [("plan", "LLM", ["span.name = 'plan'"])]),
        ("status = 'OK'", []),
    ],
)
def test_the_spans_that_decided_are_named_with_their_terms(text: str, spans: list[Any]) -> None:
    assert deciding(explained(text)) == spans


def test_their_values_are_those_that_the_terms_read() -> None:
    (one,) = explained(
        "any(span, status = 'ERROR' AND attributes.k = '9' AND request <> 'x')",
        {"spans": SPANS, "request": "q"},
    )["spans"]
    assert one["values"] == {"span.status": "ERROR", "attributes.k": "9", "request": "q"}
    assert (one["status"], one["span_id"]) == ("ERROR", "search")


def test_an_assessment_is_named() -> None:
    row = {"assessments": [feedback("ok", '"yes"'), feedback("tone", '"rude"')]}
    found = explained("feedback.tone = 'rude'", row)
    assert [one["name"] for one in found["assessments"]] == ["tone"]


def test_of_many_spans_the_first_are_named_and_all_are_counted() -> None:
    found = explained("any(span, type = 'TOOL')", {"spans": [span(f"s{i}") for i in range(50)]})
    assert len(found["spans"]) == MOST
    assert found["values"] == {"spans": 50, "matching": 50}


@pytest.mark.parametrize(
    "spans", [None, [], [span(None, "TOOL", None)], [{"name": None, "attributes": None}]]
)
def test_spans_that_lack_everything_raise_nothing(spans: Any) -> None:
    for text in (
        "any(span, type = 'TOOL')",
        "all(span, status = 'OK')",
        "count(span) > 0",
        "max(span, duration_ms) > 1",
    ):
        explained(text, {"spans": spans})

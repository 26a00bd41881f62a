"""Functions of conditions: what each gives, null included, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from rules.alerting.deciding import candidates
from rules.dialect import compile_condition
from rules.dialect.functions import FUNCTIONS, OVER_SPANS
from rules.errors import ConditionError
from rules.matcher import Matcher, evaluate_measure, explain, raw_table
from store.schemas import TRACES

SPANS: list[dict[str, Any]] = [
    {
        "span_id": "a",
        "name": "search",
        "status_code": "ERROR",
        "start_time": datetime(2026, 1, 1, tzinfo=UTC),
        "end_time": datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC),
        "attributes": [("mlflow.spanType", '"TOOL"'), ("temperature", "0.7"), ("retries", '"3"')],
        "events": [
            {"name": "exception", "attributes": [("exception.type", "KeyError")]},
            {
                "name": "exception",
                "attributes": [("exception.type", "TimeoutError"), ("exception.message", "after 30 s")],
            },
            {"name": "retry", "attributes": [("n", "2")]},
        ],
    },
    {
        "span_id": "b",
        "name": "answer",
        "start_time": datetime(2026, 1, 1, tzinfo=UTC),
        "end_time": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
        "attributes": [("mlflow.spanType", '"CHAT_MODEL"'), ("mlflow.llm.model", '"gpt-4o"')],
    },
]
USAGE = {"input_tokens": 9, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2}
ROW: dict[str, Any] = {
    "trace_id": "t",
    "request_time": datetime(2026, 1, 3, 23, 30, tzinfo=UTC),  # a Saturday
    "request": "Straße",
    "tags": [("env", "Prod"), ("retries", " 12 "), ("odd`key", "x"), ("empty", "")],
    "trace_metadata": [("team", "search"), ("mlflow.trace.tokenUsage", json.dumps(USAGE))],
    "spans": SPANS,
    "assessments": [
        {"assessment_name": "score", "feedback_value": "4"},
        {"assessment_name": "note", "feedback_value": '"Too slow"'},
    ],
}


def holds(text: str, row: dict[str, Any] = ROW) -> bool:
    condition = compile_condition(text)
    table = pa.Table.from_pylist([row], schema=TRACES)
    return bool(Matcher([condition]).match(raw_table(table, condition.columns))[0, 0])


@pytest.mark.parametrize(
    "text",
    [
        "length(request) = 6",
        "length(tags.empty) = 0",
        "length(tags.none) IS NULL",
        "length(NULL) IS NULL",
        "lower(tags.env) = 'prod'",
        "upper(request) = 'STRASSE'",
        "lower(NULL) IS NULL",
        "coalesce(tags.none, tags.env) = 'Prod'",
        "coalesce(tags.none, NULL, 'x') = 'x'",
        "coalesce(tags.none, 'none') <> 'prod'",
        "coalesce(tokens.output, tokens.input, 0) = 9",
        "coalesce(execution_time_ms, 0) + 1 = 1",
        "number(tags.retries) + 1 > 12",
        "number(tags.env) IS NULL",
        "number(request) IS NULL",
        "tags.retries > 3",
        "3 < tags.retries AND tags.retries BETWEEN 11 AND 13",
        "tags.retries IN (11, 12)",
        "NOT tags.env > 3 OR tags.env = 'Prod'",
        "tags.retries = ' 12 '",
        "hour(request_time) = 23",
        "hour(from_utc_timestamp(request_time, 'Europe/Berlin')) = 0",
        "hour(from_utc_timestamp(request_time, 'Asia/Kolkata')) = 5",
        "dayofweek(request_time) = 7",
        "dayofweek(from_utc_timestamp(request_time, 'Europe/Berlin')) = 1",
        "request_time IS NOT NULL",
        "has(tags.env) AND NOT has(tags.none)",
        "has(metadata.team) AND NOT has(metadata.none)",
        "has(feedback.score) AND NOT has(feedback.none) AND NOT has(expectation.score)",
        "has(span.attributes.temperature)",
        "any(span, has(exception.type)) AND any(span, NOT has(exception.type))",
        "length(feedback.note) = 8",
        "lower(feedback.note) LIKE 'too%'",
        "number(feedback.score) + 1 = 5",
        "feedback.score IN (4, 5) AND 3 < feedback.score",
        "max(span, duration_ms) = 4000 AND min(span, duration_ms) = 1000",
        "avg(span, duration_ms) = 2500",
        "avg(span, duration_ms, type = 'TOOL') = 4000",
        "max(span, duration_ms, type = 'NONE') IS NULL",
        "sum(span, attributes.temperature) = 0.7",
        "max(span, number(attributes.retries)) = 3",
        "max(span, length(name)) = 6",
        "any(span, attributes.temperature > 0.5)",
        "span.attributes.temperature > 0.5 AND span.attributes.retries = 3",
        "span.exception.type = 'TimeoutError' AND span.exception.message LIKE '%30 s'",
        "any(span, exception.type IS NULL AND model = 'gpt-4o')",
        "model = 'gpt-4o' AND span.model = 'gpt-4o'",
        "tokens.cache_read = 7 AND tokens.cache_write = 2",
        "tags.`odd``key` = 'x'",
    ],
)
def test_what_functions_and_new_fields_give(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("one", [*FUNCTIONS.values()])
def test_every_example_of_a_function_is_a_condition(one: Any) -> None:
    compile_condition(one.example)


@pytest.mark.parametrize("example", [example for _, _, example in OVER_SPANS.values()])
def test_every_example_over_spans_is_a_condition(example: str) -> None:
    compile_condition(example)


@pytest.mark.parametrize("word", ["9" * 1_000_000, "1e999", "nan", "Infinity", "1" * 399 + "e", "\x00", "١"])
def test_a_hostile_text_is_no_number_and_costs_little(word: str) -> None:
    row = {"trace_id": "t", "tags": [("n", word)]}
    assert holds("number(tags.n) IS NULL AND length(tags.n) > 0 AND lower(tags.n) <> 'x'", row)


@pytest.mark.parametrize("year", [1, 1900, 9999])
def test_a_time_far_away_has_an_hour(year: int) -> None:
    row = {"trace_id": "t", "request_time": datetime(year, 12, 31, 23, 30, tzinfo=UTC)}
    assert holds("hour(request_time) = 23", row)
    holds("hour(from_utc_timestamp(request_time, 'Europe/Berlin')) = 0", row)


def test_an_explanation_shows_what_functions_came_to() -> None:
    condition = compile_condition("hour(request_time) = 3 OR lower(tags.env) = 'test'")
    table = raw_table(pa.Table.from_pylist([ROW], schema=TRACES), condition.columns)
    values = [part["values"] for part in explain(condition, table)["parts"]]
    assert values == [{"hour(request_time)": 23.0}, {"lower(tags.env)": "prod", "tags.env": "Prod"}]


def test_a_trace_without_spans_has_no_extreme_and_no_model() -> None:
    row = {"trace_id": "t", "spans": None, "request_time": None}
    assert holds("max(span, duration_ms) IS NULL AND avg(span, duration_ms) IS NULL", row)
    assert holds("model IS NULL AND hour(request_time) IS NULL AND NOT has(span.exception.type)", row)


@pytest.mark.parametrize(
    ("text", "code", "message", "hint"),
    [
        ("status = ERROR", "unknown-field", "unknown field `ERROR`", "did you mean 'ERROR'?"),
        ("status = error", "unknown-field", "unknown field `error`", "did you mean 'ERROR'?"),
        ("span.status IN (unset)", "unknown-field", "unknown field `unset`", "did you mean 'UNSET'?"),
        ("tags.env = production", "unknown-field", "", "did you mean 'production'?"),
        ("tags.cached = false", "type", "a text is compared with true or false", "write 'false'"),
        ("execution_time_ms > '5'", "type", "", "numbers are written without quotes"),
        ("name > 5", "type", "a text is compared with a number", "write `number(name)` to read the text"),
        ("latency > 5", "unknown-field", "", "did you mean `execution_time_ms`?"),
        ("txt LIKE '%a%'", "unknown-field", "", "did you mean `text`?"),
        ("type = 'TOOL'", "unknown-field", "", "did you mean `span.type`"),
        ("attributes.temperature > 0.5", "unknown-field", "", "did you mean `span.attributes.temperature`?"),
        ("any(span, exception = 'X')", "unknown-field", "", "did you mean `exception.type`"),
        ("zzz = 1", "unknown-field", "", "there are: client_request_id"),
        ("len(request) > 5", "unknown-function", "unknown function `len`", "did you mean `length`?"),
        ("zzz(request) > 5", "unknown-function", "", "there are: any, all"),
        ("any(span, count(span) > 1)", "scope", "", ""),
        ("length(execution_time_ms) > 5", "type", "`length` needs a text, not a number", ""),
        ("length() > 5", "type", "`length` takes 1 of them, not 0", "write length(text)"),
        ("hour(timestamp_ms) = 5", "type", "`hour` needs a time, not a number", "write hour(request_time)"),
        ("request_time > '2026-01-01'", "type", "a time is compared with a text", "compare `timestamp_ms`"),
        ("request_time", "type", "", ""),
        ("coalesce(tags.a, 1) = 1", "type", "`coalesce` needs texts, or numbers", "`number(…)`"),
        ("coalesce(feedback.a, 'x') = 'x'", "type", "a feedback or expectation may have several", ""),
        ("coalesce(tags.a) = 'x'", "type", "`coalesce` takes two values or more", ""),
        ("hour(from_utc_timestamp(request_time, 'Nowhere')) = 1", "type", "there is no time zone", ""),
        ("hour(from_utc_timestamp(request_time, '../x')) = 1", "type", "there is no time zone", ""),
        ("tags.a + 1 > 2", "type", "'+' needs numbers", "`number(tags.a)`"),
        ("sum(span, name) > 5", "type", "`sum` needs a number, not a text", ""),
        ("max(span) > 5", "syntax", "a number of the span is expected", "write max(span, n[, c])"),
        ("tags.a IN ('a', 1)", "type", "the values after IN are not of one type", ""),
        ("has('x')", "syntax", "the name of a field is expected", ""),
        ("hour(request_time) = 24", "never-true", "", ""),
        ("length(request) < 0", "never-true", "", ""),
        ("lower(tags.env) = 'PROD'", "never-true", "", ""),
        ("max(span, duration_ms) < 0", "never-true", "", ""),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(text: str, code: str, message: str, hint: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert message in found.message and hint in found.hint, (found.message, found.hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("error_ratio > 1", "`error_rate`"), ("latency_ms > 1", "`p95_ms`"), ("max(p95_ms) > 1", "measures")],
)
def test_a_window_has_measures(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, kind="measure")
    assert hint in caught.value.diagnostics[0].hint
    condition = compile_condition("coalesce(p95_ms, 0) > 5 AND traces > 2", kind="measure")
    assert [(one.measure, one.rises) for one in candidates(condition.node)][:1] == [("p95_ms", True)]
    assert evaluate_measure(condition, {"p95_ms": 6.0, "traces": 3.0}) is True
    assert evaluate_measure(condition, {"p95_ms": None, "traces": 3.0}) is False


def test_equal_findings_at_one_place_are_one() -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition("execution_time_ms IN ('1', '2', '3')")
    assert len(caught.value.diagnostics) == 1


@pytest.mark.parametrize("text", ["feedback.score", "span.duration_ms", "(span.name)"])
def test_a_value_alone_is_no_condition(text: str) -> None:
    with pytest.raises(ConditionError, match="true or false"):
        compile_condition(text)


def test_parentheses_around_a_value_change_nothing() -> None:
    assert holds("(span.duration_ms) > 3999") and not holds("(span.duration_ms + 1) > 4001")
    assert holds("(feedback.score) = 4")

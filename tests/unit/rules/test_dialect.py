"""The condition language: what parses, what it is made into, and what is refused with its place."""

import pickle

import pytest

from rules.dialect import compile_condition
from rules.errors import ConditionError

MLFLOW_FILTERS = [
    "status = 'OK'",
    'trace.status = "ERROR"',
    "attributes.execution_time_ms > 1000",
    "execution_time <= 5 AND timestamp >= 1700000000000",
    "end_time_ms < 1700000000000 AND end_time > 1",
    "request_id IN ('a', 'b')",
    "trace_id NOT IN ('a')",
    "client_request_id LIKE 'x%'",
    "name ILIKE '%Agent%'",
    "run_id = 'abc'",
    "tag.`mlflow.traceName` = 'x' AND tags.env != 'prod'",
    "tags.env IS NOT NULL AND metadata.user IS NULL",
    "metadata.`mlflow.trace.session` RLIKE '^s[0-9]+$'",
    "span.name = 'a' AND span.type IN ('TOOL', 'LLM') AND span.status != 'OK'",
    "span.content LIKE '%boom%'",
    "span.attributes.`model.name` = 'gpt'",
    "span.attributes.model RLIKE 'gpt'",
    "feedback.correct = 'true' AND expectation.answer IS NOT NULL",
    "feedback.score >= 0.8",
    "trace.text LIKE '%refund%'",
]


@pytest.mark.parametrize("text", MLFLOW_FILTERS)
def test_every_mlflow_filter_is_a_condition(text):
    condition = compile_condition(text)
    assert condition.columns
    assert pickle.loads(pickle.dumps(condition)) == condition


@pytest.mark.parametrize("text", [f for f in MLFLOW_FILTERS if "trace_id" not in f])
def test_mlflow_itself_takes_those_filters(text):
    search = pytest.importorskip("mlflow.utils.search_utils")
    assert search.SearchTraceUtils.parse_search_filter_for_search_traces(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("status='OK'  and\n name = \"x\"", "(status = 'OK' AND name = 'x')"),
        (
            "span.type = 'TOOL' AND status = 'OK' AND span.status = 'ERROR'",
            "(any(spans, (span.type = 'TOOL' AND span.status = 'ERROR')) AND status = 'OK')",
        ),
        ("NOT span.type = 'TOOL'", "NOT (any(spans, span.type = 'TOOL'))"),
        ("feedback.x IS NULL", "NOT (any(assessments, NOT (feedback.x IS NULL)))"),
        ("NOT feedback.x = 'a'", "NOT (any(assessments, feedback.x = 'a'))"),
        ("a = 1 OR b = 2", None),
        ("count(span) > 1 + 2 * 3", "count(spans, TRUE) > (1.0 + (2.0 * 3.0))"),
    ],
)
def test_canonical_text_and_binding_of_spans(text, normal):
    if normal is None:
        with pytest.raises(ConditionError) as caught:
            compile_condition(text)
        assert [f.code for f in caught.value.diagnostics] == ["unknown-field", "unknown-field"]
    else:
        assert compile_condition(text).normal == normal


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("status = 'OK' -- x", "syntax", (1, 15)),
        ("status = 'OK'; x", "syntax", (1, 14)),
        ("status =\n  ", "syntax", (2, 3)),
        ("status = 'OK' AND\n  statu = 'x'", "unknown-field", (2, 3)),
        ("execution_time_ms > 'x'", "type", (1, 1)),
        ("tokens.total AND status = 'OK'", "type", (1, 1)),
        ("tokens.total", "type", (1, 1)),
        ("name RLIKE '(?=x)'", "pattern", (1, 12)),
        ("issue.id = 'x'", "absent-field", (1, 1)),
        ("prompt = 'a/1'", "absent-field", (1, 1)),
        ("any(span)", "syntax", (1, 9)),
        ("span.name = name", "scope", (1, 1)),
        ("span.name IN (name)", "scope", (1, 1)),
        ("(" * 33 + "1 = 1" + ")" * 33, "too-deep", (1, 33)),
        ("1" + " + 1" * 2000 + " > 0", "syntax", None),
        ("-" * 0 + "- " * 2000 + "1 > 0", "syntax", None),
        ("NOT " * 2000 + "status", "type", None),
        ("name = '" + "x" * 10_001 + "'", "too-long", (1, 1)),
        ("", "syntax", (1, 1)),
        ("(" * 9_999, "too-deep", None),
    ],
)
def test_sem_29_findings_carry_line_and_column(text, code, place):
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert place is None or (found.line, found.column) == place


def test_measures_are_a_scope_of_their_own():
    assert compile_condition("error_rate > 0.05 AND traces >= 20", kind="measure").columns == ()
    with pytest.raises(ConditionError):
        compile_condition("status = 'OK'", kind="measure")
    with pytest.raises(ConditionError):
        compile_condition("error_rate > 0.05")


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("status = 'OK' AND status = 'ERROR'", True),
        ("execution_time_ms > 5 AND (name = 'x' AND execution_time_ms < 5)", True),
        ("execution_time_ms >= 5 AND execution_time_ms <= 5", False),
        ("span.type = 'LLM' AND span.type = 'TOOL'", True),
        ("any(span, type = 'LLM') AND any(span, type = 'TOOL')", False),
        ("feedback.x = 'a' AND feedback.x = 'b'", False),
        ("status = NULL", True),
        ("NOT (status = 'OK' AND status = 'ERROR')", False),
        ("tags.a IS NULL AND tags.a = 'x'", True),
        ("status = 'OK' AND status <> 'OK' OR name = 'x'", False),
    ],
)
def test_a_condition_that_can_never_be_true_is_refused(text, never):
    if never:
        with pytest.raises(ConditionError, match="never be true"):
            compile_condition(text)
    else:
        compile_condition(text)

"""The matcher against a naive evaluator that goes row by row, span by span, with SQL's three-valued logic."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trace_rows import feedback, span, traces

from rules.dialect import compile_condition
from rules.dialect.contradictions import never_true
from rules.dialect.nodes import Compare, Field, IsNull, Literal_, Logic, Not, Over
from rules.matcher import (
    Evaluation,
    Matcher,
    derive,
    derived_columns,
    evaluate_measure,
    explain,
    raw_table,
)


def matched(text, *rows):
    matcher = Matcher([compile_condition(text)])
    return matcher.match(raw_table(traces(*rows), matcher.columns))[0].tolist()


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("tags.env != 'prod'", {}, False),
        ("NOT tags.env = 'prod'", {}, False),
        ("tags.env IS NULL", {}, True),
        ("tags.env = 'prod' OR status = 'OK'", {}, True),
        ("name LIKE 'A%'", {"tags": {"mlflow.traceName": "Abc"}}, True),
        ("name LIKE 'a%'", {"tags": {"mlflow.traceName": "Abc"}}, False),
        ("name ILIKE 'a_c'", {"tags": {"mlflow.traceName": "Abc"}}, True),
        ("name RLIKE 'b'", {"tags": {"mlflow.traceName": "Abc"}}, True),
        ("status IN ('ERROR', 'OK')", {}, True),
        ("status NOT IN ('ERROR')", {}, True),
        ("end_time_ms - timestamp_ms = 100", {}, True),
        ("execution_time_ms / 0 > 1", {}, False),
        ("count(span) = 2", {"spans": [span(), span()]}, True),
        ("count(span) = 0", {"spans": None}, True),
        ("any(span, TRUE AND duration_ms > 1)", {"spans": [span()]}, True),
        ("all(span, status = 'OK')", {"spans": []}, True),
        ("sum(span, duration_ms, type = 'LLM') = 5", {"spans": [span(ms=9), span(kind="LLM", ms=5)]}, True),
        (
            "span.type = 'TOOL' AND span.status = 'ERROR'",
            {"spans": [span(), span(kind="LLM", status="STATUS_CODE_ERROR")]},
            False,
        ),
        (
            "any(span, type = 'TOOL') AND any(span, status = 'ERROR')",
            {"spans": [span(), span(kind="LLM", status="2")]},
            True,
        ),
        ("span.attributes.model = 'gpt'", {"spans": [span(model='"gpt"')]}, True),
        ("feedback.ok = 'true'", {"assessments": [feedback("ok", "false"), feedback("ok", "true")]}, True),
        ("feedback.ok != 'true'", {"assessments": [feedback("ok", "false"), feedback("ok", "true")]}, True),
        ("NOT feedback.ok = 'true'", {"assessments": [feedback("ok", "true")]}, False),
        ("feedback.score > 0.5", {"assessments": [feedback("score", "0.7"), feedback("score", '"9"')]}, True),
        ("feedback.score > 0.8", {"assessments": [feedback("score", "true"), feedback("other", "1")]}, False),
        ("feedback.score < 0.5", {"assessments": [feedback("score", "-3.25")]}, True),
        ("feedback.x IS NULL", {"assessments": [feedback("y", "1")]}, True),
        ("feedback.x IS NULL", {}, True),
        ("feedback.y IS NOT NULL", {"assessments": [feedback("y", "1")]}, True),
        ("tokens.total > 5", {"trace_metadata": {"mlflow.trace.tokenUsage": '{"total_tokens": 6}'}}, True),
        ("tokens.total > 5", {"trace_metadata": {"mlflow.trace.tokenUsage": "[" * 9999}}, False),
    ],
)
def test_single_conditions(text, row, expected):
    assert matched(text, row) == [expected]


STATES, TYPES = ["OK", "ERROR", None], ["TOOL", "LLM"]
ROW = st.fixed_dictionaries(
    {
        "state": st.sampled_from(STATES),
        "execution_duration_ms": st.sampled_from([None, 0.0, 1.0, 2.0]),
        "tags": st.one_of(st.none(), st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))),
        "spans": st.one_of(
            st.none(),
            st.lists(
                st.builds(
                    span, st.sampled_from(["n", "m", None]), st.sampled_from(TYPES), st.sampled_from(STATES)
                ),
                max_size=3,
            ),
        ),
    }
)
LEAF = st.sampled_from(
    [
        "status = 'OK'",
        "tags.a = 'x'",
        "tags.b <> tags.a",
        "execution_time_ms > 1",
        "tags.a IS NULL",
        "NULL",
        "TRUE",
    ]
)
SPAN_LEAF = st.sampled_from(
    ["type = 'TOOL'", "span.status = 'ERROR'", "span.name = 'n'", "span.name IS NULL", "tags.a = 'x'", "NULL"]
)


def tree(leaf):
    return st.recursive(
        leaf,
        lambda sub: st.one_of(
            st.builds("({} AND {})".format, sub, sub),
            st.builds("({} OR {})".format, sub, sub),
            st.builds("NOT ({})".format, sub),
        ),
        max_leaves=6,
    )


OVER = st.one_of(
    st.builds("any(span, {})".format, tree(SPAN_LEAF)),
    st.builds("all(span, {})".format, tree(SPAN_LEAF)),
    st.builds("count(span, {}) > 1".format, tree(SPAN_LEAF)),
)


def naive(node, row, one=None):
    """True, False or None for a node, on one trace and, inside ``any(span, …)``, one of its spans."""
    if isinstance(node, Field):
        tags, attrs = dict(row["tags"] or {}), dict(one["attributes"]) if one else {}
        return {
            "status": row["state"],
            "tags.a": tags.get("a"),
            "tags.b": tags.get("b"),
            "tags.none": None,
            "execution_time_ms": row["execution_duration_ms"],
            "span.name": one and one["name"],
            "span.status": one and one["status_code"],
            "span.type": attrs.get("mlflow.spanType", "").strip('"'),
        }[node.name]
    if isinstance(node, Literal_):
        return node.value
    if isinstance(node, Compare):
        a, b = naive(node.left, row, one), naive(node.right, row, one)
        if a is None or b is None:
            return None
        return {"=": a == b, "<>": a != b, ">": node.op == ">" and a > b}[node.op]
    if isinstance(node, IsNull):
        return naive(node.left, row, one) is None
    if isinstance(node, Not):
        part = naive(node.part, row, one)
        return None if part is None else not part
    if isinstance(node, Logic):
        parts, stop = [naive(part, row, one) for part in node.parts], node.op == "OR"
        return stop if stop in parts else None if None in parts else not stop
    assert isinstance(node, Over)
    holds = [naive(node.condition, row, each) is True for each in row["spans"] or []]
    return {"any": any(holds), "all": all(holds), "count": float(sum(holds))}[node.op]


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, max_size=5), st.lists(tree(st.one_of(LEAF, OVER)), min_size=1, max_size=4))
def test_sem_28_matches_what_a_row_by_row_evaluator_does(rows, texts):
    conditions = [
        compile_condition(f"({text}) OR tags.none = 'x'") for text in texts
    ]  # never refused as never true
    matcher = Matcher(conditions)
    found = matcher.match(raw_table(traces(*rows), matcher.columns))
    assert found.tolist() == [[naive(c.node, row) is True for row in rows] for c in conditions]
    for condition, hits in zip(conditions, found, strict=True):
        assert isinstance(condition.node, Logic)
        assert not (never_true(condition.node.parts[0]) and hits.any())


def test_explain_agrees_and_names_the_part_that_decided():
    condition = compile_condition("status = 'ERROR' AND count(span, type = 'TOOL') > 0")
    found = explain(condition, raw_table(traces({"spans": [span()]}), condition.columns))
    assert found["matched"] is False
    assert found["decided_by"] == ["status = 'ERROR'"]
    assert [part["result"] for part in found["parts"]] == [False, True]


def test_sem_04_unknown_tokens_are_null_and_broken_ones_say_so():
    table = traces(
        {
            "trace_metadata": {
                "mlflow.trace.tokenUsage": '{"input_tokens": 2, "output_tokens": 3}',
                "mlflow.trace.cost": '{"total_cost": 0.000000001}',
            }
        },
        {"trace_metadata": {"mlflow.trace.tokenUsage": "{"}},
        {"trace_metadata": {"mlflow.trace.cost": '{"total_cost": 1e14}'}},
        {},
        {"trace_metadata": {"mlflow.trace.tokenUsage": '{"input_tokens": -3, "output_tokens": 4}'}},
        {"trace_metadata": {"mlflow.trace.cost": '{"total_cost": -0.5, "note": "refund"}'}},
    )
    found = derive(raw_table(table, derived_columns)).to_pydict()
    assert found["tokens_total"] == [5, None, None, None, None, None]
    assert found["tokens_output"] == [3, None, None, None, 4, None]
    assert found["cost_nusd"] == [1, None, None, None, None, None]
    assert found["json_error"] == [
        None,
        "broken_token_json",
        "cost_out_of_range",
        None,
        "tokens_out_of_range",
        "cost_out_of_range",
    ]


def test_measures():
    fire = compile_condition("traces > 5 AND error_rate > 0.05", kind="measure")
    assert evaluate_measure(fire, {"traces": 10, "error_rate": 0.1}) is True
    assert evaluate_measure(fire, {"traces": 10, "error_rate": None}) is None
    assert evaluate_measure(fire, {"traces": 1, "error_rate": None}) is False


def test_what_a_thousand_rules_share_is_worked_out_once(monkeypatch):
    rows = traces(*({"tags": {"env": f"e{i % 7}"}, "spans": [span(), span(kind="LLM")]} for i in range(70)))
    conditions = [compile_condition(f"any(span, type = 'TOOL') AND tags.env = 'e{i}'") for i in range(1000)]
    asked = []
    over, field = Evaluation._over, Evaluation._field
    monkeypatch.setattr(Evaluation, "_over", lambda self, *a: asked.append("over") or over(self, *a))
    monkeypatch.setattr(
        Evaluation, "_field", lambda self, node, *a: asked.append(node.name) or field(self, node, *a)
    )
    matcher = Matcher(conditions)
    found = matcher.match(raw_table(rows, matcher.columns))
    assert sorted(asked) == ["over", "span.type", "tags.env"]
    assert found.sum(axis=1).tolist() == [10] * 7 + [0] * 993

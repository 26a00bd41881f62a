"""The sentence beside a finding, made of the fact of its trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.counted_traces import count

from rules.rule_set import build_rule_set, parse_rule
from sinks.mlflow.assessments import MlflowAssessments, findings
from sinks.mlflow.rationale import facts_of, rationale
from store import open_store

T0 = 1_800_000_000_000_000
RULES = build_rule_set([parse_rule({"id": "slow", "when": "execution_time_ms > 0", "tag": "slow"})])


def trace(name: str, steps: list[tuple[str, str, float]], **changes: Any) -> dict[str, Any]:
    """A root span, and steps of that type, name and length (s) one after the other."""
    spans, now = [], T0
    whole = T0 + int(sum(took for *_, took in steps) * 1e6)
    for place, (kind, step, end) in enumerate([("AGENT", "root", whole), *steps]):
        start, now = (T0, T0) if place == 0 else (now, now + int(end * 1e6))
        spans.append(
            {
                "span_id": f"{name}{place}",
                "parent_id": f"{name}0" if place else None,
                "name": step,
                "start_time": start,
                "end_time": whole if place == 0 else now,
                "status_code": "OK",
                "attributes": [("mlflow.spanType", json.dumps(kind))],
                "events": [],
            }
        )
    row = {"trace_id": name, "request_time": T0, "state": "OK", "execution_duration_ms": (whole - T0) / 1000}
    return {**row, "spans": spans, **changes}


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    store = open_store(str(tmp_path))
    slow = [("TOOL", "app.search_documents", 7.8), ("LLM", "draft", 4.2)]
    failed = trace("failed", slow, state="ERROR")
    failed["spans"][2] |= {
        "status_code": "ERROR",
        "status_message": "TimeoutError: bob@example.com \x1b[31m 9 s",
    }
    even = trace("even", [("TOOL", "a", 1), ("LLM", "b", 1)])
    bare = {
        "trace_id": "bare",
        "request_time": T0,
        "state": "ERROR",
        "execution_duration_ms": 5.0,
        "spans": [],
    }
    count(store, 1, [trace("slow", slow), failed, even, bare], RULES)
    return facts_of(store, ["slow", "failed", "even", "bare", "unknown"])


def test_it_says_where_the_failure_began_and_what_took_the_time(facts: dict[str, Any]) -> None:
    assert rationale(facts["slow"]) == "search_documents took 65% of 12 s"
    assert rationale(facts["failed"]) == (
        "draft (LLM) failed first: TimeoutError: * [* s; search_documents took 65% of 12 s"
    )
    assert rationale(facts["even"]) == ""
    assert rationale(facts["bare"]) == "it failed, and none of its spans did"
    assert rationale(facts.get("unknown")) == ""


def test_a_finding_a_rule_with_its_category_as_value(facts: dict[str, Any]) -> None:
    payload = {
        "trace_id": "slow",
        "category": "x",
        "rules": ["a", "b"],
        "categories": {"x": ["a"], "y": ["b"]},
    }
    assert [tuple(one) for one in findings(payload, facts["slow"])] == [
        ("tracesieve.a", "x", "search_documents took 65% of 12 s"),
        ("tracesieve.b", "y", "search_documents took 65% of 12 s"),
    ]
    assert findings(MlflowAssessments.withdrawal("slow"), facts["slow"]) == []
    assert MlflowAssessments.is_withdrawal(MlflowAssessments.withdrawal("slow"))
    assert not MlflowAssessments.is_withdrawal(payload)

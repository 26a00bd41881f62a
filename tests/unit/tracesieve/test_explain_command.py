"""``tracesieve explain``: any trace that there is gets an answer: how it is counted or why it is not, which
span decided, what was written because of it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from support.made_facts import fact
from support.trace_rows import span

from rules.units import DAY_US, MINUTE_US, utc
from store import Store, open_store
from store.outbox import Ack, Outbox, OutboxMessage
from store.schemas import TRACES
from tracesieve.cli import cli

NOW = time.time_ns() // 1000
RULES = """
version: 1
rules:
  - {id: tool-errors, when: "any(span, type = 'TOOL' AND status = 'ERROR')", tag: error_case}
"""


def row(trace_id: str, *, ago_us: int = 5 * MINUTE_US, **changes: Any) -> dict[str, Any]:
    spans = [span("plan", "LLM"), span("search_docs", "TOOL", "ERROR"), span("fetch", "TOOL")]
    base = {"trace_id": trace_id, "request_time": utc(NOW - ago_us), "state": "OK", "spans": spans}
    return {**base, "execution_duration_ms": 20.0, "tags": [], "trace_metadata": [], **changes}


ROWS = [
    row("tr-4bf92f3577"),
    row("tr-4bf9abcdef"),
    row("tr-77-in-progress", state="IN_PROGRESS"),
    row("tr-77-evaluation", trace_metadata=[("mlflow.sourceRun", "r1")]),
    row("tr-77-judge", tags=[("mlflow.trace.sourceScorer", "s")]),
    row("tr-77-old", ago_us=40 * DAY_US),
    row("tr-77-older", ago_us=100 * DAY_US),
    row("tr-77-new"),
    row("tr-77-odd", state="WHATEVER"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A Delta table of which some traces are counted."""
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(tmp_path / "traces"), pa.Table.from_pylist(ROWS, schema=schema))
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "c.yaml").write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\n"
    )
    store = open_store(str(tmp_path / "st"))
    times = {"start_us": NOW - 5 * MINUTE_US, "end_us": NOW}
    out = fact("tr-left-out", 0, weight=0, **{**times, "state": "LEFT_OUT"})
    gone = fact("tr-gone", 0, **times)
    store.table("facts").append([fact("tr-4bf92f3577", 0, **times), out, gone])
    refused = {"trace_id": "tr-77-odd", "reason": "unknown_state", "detail": "not counted", "now_us": NOW}
    store.table("quarantine").append([refused])
    return store


def explained(tmp_path: Path, text: str) -> dict[str, Any]:
    done = explain(tmp_path, text, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def explain(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", "-c", str(tmp_path / "c.yaml"), *arguments])


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("tr-4bf92f3577", "counted", "counted"),
        ("tr-77-in", "in_progress", "it is counted once it has ended"),
        ("tr-77-eval", "left_out", "include_evaluation: true"),
        ("tr-77-judge", "left_out", "of a judge"),
        ("tr-left", "left_out", "left out"),
        ("tr-77-old", "expired", "it began more than 30d ago (dedupe_horizon)"),
        ("tr-77-older", "expired", "it began more than 90d ago (retention: facts)"),
        ("tr-77-new", "not_read", "the run has not read it yet"),
        ("tr-77-odd", "quarantined", "cannot be counted (unknown_state): it is in quarantine"),
        ("tr-gone", "counted", "its content is gone"),
    ],
)
def test_a_trace_that_is_not_counted_is_answered_with_why(
    store: Store, tmp_path: Path, text: str, state: str, words: str
) -> None:
    found = explained(tmp_path, text)
    assert (found["state"], words in found["why"]) == (state, True), found["why"]
    assert found["trace_id"].startswith(text)
    assert (found["counted"] is not None) == (state == "counted")
    shown = explain(tmp_path, text).output
    assert " ".join(words.split()) in " ".join(shown.split()) or state == "counted"


def test_rules_are_evaluated_on_what_is_not_counted_too(store: Store, tmp_path: Path) -> None:
    assert explained(tmp_path, "tr-77-new")["rules"][0]["matched"] is True


def test_the_beginning_of_an_id_is_enough_and_two_are_listed(store: Store, tmp_path: Path) -> None:
    assert explained(tmp_path, "tr-4bf92")["trace_id"] == "tr-4bf92f3577"
    both = explain(tmp_path, "tr-4bf9")
    assert getattr(both.exception, "exit_code", None) == 2
    assert str(both.exception) == "2 traces begin with tr-4bf9: tr-4bf92f3577, tr-4bf9abcdef"
    many = explain(tmp_path, "tr-")
    assert str(many.exception).startswith("11+ traces begin with tr-: ")
    none = explain(tmp_path, "tr-9")
    assert getattr(none.exception, "exit_code", None) == 1
    assert str(none.exception) == "there is no trace tr-9 in the store or its source"
    assert getattr(explain(tmp_path, "").exception, "exit_code", None) == 2


def test_a_whole_id_is_that_trace_though_others_begin_with_it(store: Store, tmp_path: Path) -> None:
    assert explained(tmp_path, "tr-77-old")["trace_id"] == "tr-77-old"


def test_the_span_that_decided_is_named(store: Store, tmp_path: Path) -> None:
    (rule,) = explained(tmp_path, "tr-4bf92")["rules"]
    (one,) = rule["spans"]
    assert (one["name"], one["type"], one["status"]) == ("search_docs", "TOOL", "ERROR")
    assert one["terms"] == ["span.type = 'TOOL'", "span.status = 'ERROR'"]
    lines = explain(tmp_path, "tr-4bf92").output.splitlines()
    named = next(index for index, line in enumerate(lines) if "search_docs" in line)
    assert lines[named] == "      span search_docs (TOOL, ERROR): span.type = 'TOOL' and span.status ="
    assert lines[named + 1] == "        'ERROR'"


def deliver(store: Store, outcome: str | None, detail: str = "") -> None:
    """Tags and records of a trace, with what became of them."""
    trace_id = "tr-4bf92f3577"
    outbox = Outbox(store)
    why = {"rules": [{"rule": "tool-errors", "hash": "abc"}], "reason": "a tool that fails"}
    members = {"trace_id": trace_id, "categories": {"error_case": why}}
    tags = {"trace_id": trace_id, "category": "error_case", "rules": ["tool-errors"]}
    messages = [
        OutboxMessage("mlflow_tags", trace_id, tags),
        OutboxMessage("mlflow_datasets", trace_id, members),
    ]
    outbox.enqueue(messages, NOW)
    if outcome:
        waiting = [one for sink in ("mlflow_tags", "mlflow_datasets") for one in outbox.pending(sink)]
        outbox.ack([Ack(one, outcome, detail=detail) for one in waiting], NOW)


def record(weight: int) -> dict[str, Any]:
    rules = [{"rule": "tool-errors", "hash": "abc"}, {"rule": "~person", "hash": ""}]
    key = {"dataset": "tracesieve_error_case", "dataset_id": "d-1", "record": "r1"}
    about = {"trace_id": "tr-4bf92f3577", "end_us": 1, "rules": rules, "reason": "a tool that fails"}
    return {**key, **about, "weight": weight, "at_us": NOW + weight}


def test_its_tags_and_datasets_are_shown_with_why_and_whether_they_were_delivered(
    store: Store, tmp_path: Path
) -> None:
    deliver(store, "delivered")
    store.table("records").append([record(1)])
    found = explained(tmp_path, "tr-4bf92")
    tags = found["tags"]
    assert (
        tags["values"].items() >= {"eval_candidate": "error_case", "tracesieve.rules": "tool-errors"}.items()
    )
    assert tags["state"] == "delivered"
    (dataset,) = found["datasets"]["in"]
    assert (dataset["dataset"], dataset["rules"], dataset["person"], dataset["reason"]) == (
        "tracesieve_error_case",
        ["tool-errors@abc"],
        True,
        "a tool that fails",
    )
    shown = " ".join(explain(tmp_path, "tr-4bf92").output.split())
    assert "eval_candidate = error_case" in shown and f"(delivered {utc(NOW):%Y-%m-%dT%H:%M}" in shown
    assert "dataset tracesieve_error_case: by tool-errors@abc, a person: a tool that fails" in shown


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(None, "waiting"), ("retry", "waiting"), ("dead", "refused"), ("dropped", "dropped")],
)
def test_what_was_not_delivered_is_shown_with_the_reason(
    store: Store, tmp_path: Path, outcome: str | None, state: str
) -> None:
    deliver(store, outcome, "MLflow says NOT_FOUND" if outcome else "")
    found = explained(tmp_path, "tr-4bf92")
    assert (found["tags"]["state"], found["datasets"]["deliveries"][0]["state"]) == (state, state)
    shown = " ".join(explain(tmp_path, "tr-4bf92").output.split())
    assert f"datasets of error_case: {state}" in shown
    assert ("MLflow says NOT_FOUND" in shown) == (outcome is not None)


def test_a_trace_that_was_taken_out_again_is_in_no_dataset(store: Store, tmp_path: Path) -> None:
    store.table("records").append([record(1), record(-1)])
    assert explained(tmp_path, "tr-4bf92")["datasets"]["in"] == []
    assert explained(tmp_path, "tr-4bf92")["tags"] is None


def test_a_dataset_that_a_search_put_a_trace_into_is_shown_with_the_condition(
    store: Store, tmp_path: Path
) -> None:
    searches = [{"rule": "search:0a1b2c3d", "hash": "0a1b2c3d4e5f6071"}, {"rule": "search:9", "hash": "9"}]
    store.table("records").append([{**record(1), "rules": searches, "reason": "search: user = 'eve'"}])
    shown = " ".join(explain(tmp_path, "tr-4bf92").output.split())
    assert "dataset tracesieve_error_case: by a search: search: user = 'eve'" in shown

"""A trace, and what of it changes its content hash and what does not; rows and facts as a run makes them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from support.delta_cases import T0, clock, rule_set, trace, write

from rules.rule_set import RuleSet
from store import net_facts, open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.narrow import matched, narrow_plan
from streams.checkpoint import checkpoint_of, stream_id
from streams.query import start
from streams.sources.delta_traces.table import DeltaTracesTable

SECOND = timedelta(seconds=1)


def assessment(**changes: Any) -> dict[str, Any]:
    base = {
        "assessment_id": "a1",
        "assessment_name": "quality",
        "source_type": "HUMAN",
        "source_id": "me",
        "create_time": T0,
        "last_update_time": T0 + SECOND,
        "feedback_value": "1",
        "feedback_error": None,
        "expectation_value": None,
        "rationale": "so",
        "span_id": None,
    }
    return {**base, **changes}


def base() -> dict[str, Any]:
    row = trace(1, assessments=[assessment()])
    row["trace_metadata"] = [
        ("mlflow.trace.tokenUsage", '{"total_tokens": 7}'),
        ("mlflow.trace.cost", '{"total_cost": 1}'),
        ("mlflow.sourceRun", "run"),
        ("user", "me"),
    ]
    return row


def with_span(place: int, **changes: Any) -> dict[str, Any]:
    row = copy.deepcopy(base())
    row["spans"][place].update(changes)
    return row


def with_metadata(key: str, value: str) -> dict[str, Any]:
    row = base()
    row["trace_metadata"] = [(k, value if k == key else v) for k, v in row["trace_metadata"]]
    return row


def changed_row(**changes: Any) -> dict[str, Any]:
    return {**base(), **changes}


TAGS: list[tuple[str, str]] = base()["tags"]


CHANGED = {
    "state": changed_row(state="OK" if base()["state"] == "ERROR" else "ERROR"),
    "start": changed_row(request_time=T0 + 99 * SECOND),
    "end": changed_row(execution_duration_ms=138.0),
    "no duration": changed_row(execution_duration_ms=None),
    "a tag's value": changed_row(tags=[("mlflow.traceName", "agent"), ("environment", "test")]),
    "a tag more": changed_row(tags=[*TAGS, ("x", "y")]),
    "tokens": with_metadata("mlflow.trace.tokenUsage", '{"total_tokens": 8}'),
    "cost": with_metadata("mlflow.trace.cost", '{"total_cost": 2}'),
    "source run": with_metadata("mlflow.sourceRun", "other"),
    "no assessment": changed_row(assessments=[]),
    "an assessment more": changed_row(assessments=[assessment(), assessment(assessment_id="a2")]),
    "an assessment's value": changed_row(assessments=[assessment(feedback_value="0")]),
    "an assessment's time": changed_row(assessments=[assessment(last_update_time=T0 + 2 * SECOND)]),
    "a person's of our name": changed_row(
        assessments=[assessment(), assessment(assessment_id="a2", assessment_name="tracesieve.slow")]
    ),
    "a rationale": changed_row(assessments=[assessment(rationale="no")]),
    "span id": with_span(1, span_id="other"),
    "span type": with_span(1, attributes=[("mlflow.spanType", '"LLM"')]),
    "span name": with_span(1, name="other"),
    "span status": with_span(1, status_code="ERROR"),
    "span start": with_span(1, start_time=T0 + 4 * SECOND),
    "span end": with_span(1, end_time=T0 + 5 * SECOND),
    "a span less": changed_row(spans=base()["spans"][:1]),
}


SAME = {
    "itself": base(),
    "request": changed_row(request="other"),
    "response": changed_row(response="other"),
    "client request id": changed_row(client_request_id="other"),
    "other metadata": with_metadata("user", "you"),
    "another span attribute": with_span(1, attributes=[("mlflow.spanType", '"TOOL"'), ("x", "1")]),
    "status message": with_span(1, status_message="other"),
    "parent": with_span(1, parent_id=None),
    "our own tags": changed_row(
        tags=[
            *TAGS,
            ("eval_candidate", "error_case"),
            ("tracesieve.rules", "r"),
            ("tracesieve.category", "c"),
        ]
    ),
    "our own assessments": changed_row(
        assessments=[
            assessment(),
            assessment(
                assessment_id="ours",
                assessment_name="tracesieve.tool-errors",
                source_type="CODE",
                source_id="tracesieve",
                last_update_time=T0 + 90 * SECOND,
            ),
            assessment(
                assessment_id="link",
                assessment_name="iss-0123456789abcdef",
                source_type="CODE",
                source_id="tracesieve",
                last_update_time=T0 + 90 * SECOND,
            ),
        ]
    ),
    "order of spans": changed_row(spans=base()["spans"][::-1]),
    "order of tags": changed_row(tags=TAGS[::-1]),
}


ERRORS = [with_span(1, status_code=code) for code in ("ERROR", "STATUS_CODE_ERROR", "2")]


NOTHING = [
    {**trace(1), "tags": tags, "spans": spans, "assessments": assessments, "trace_metadata": metadata}
    for tags, spans, assessments, metadata in (
        [[], [], [], []],
        [None, None, None, None],
        [[], None, [], None],
    )
]


def micros(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def narrow_of(
    spark: Any, rows: list[dict[str, Any]], table: Path, rules: RuleSet | None = None
) -> pl.DataFrame:
    """The narrow rows of a static DataFrame, in the order of ``rows``."""
    numbered = [{**row, "trace_id": f"tr-{n:04}"} for n, row in enumerate(rows)]
    write(table, numbered)
    frame = spark.read.format("delta").load(str(table))
    config = BatchConfig(str(table), "s", "", table=DeltaTracesTable(str(table)))
    rules = rules or rule_set()
    return pl.DataFrame(matched(narrow_plan(frame, rules, config))).sort("trace_id")


def counted(
    spark: Any, folder: Path, rules: RuleSet, columns: tuple[tuple[str, str], ...] = ()
) -> dict[str, dict[str, Any]]:
    """The facts that a run over ``folder/source`` leaves, by trace id."""
    store = open_store(str(folder / "store"))
    RuleSets(store).put(rules, (), 1)
    checkpoint = checkpoint_of(str(folder / "store"))
    config = BatchConfig(
        str(folder / "store"),
        stream_id(store, checkpoint),
        checkpoint,
        table=DeltaTracesTable(str(folder / "source"), columns),
    )
    start(spark, config, clock, once=True).wait()
    return {row["trace_id"]: row for row in net_facts(store.table("facts").read()).to_dicts()}

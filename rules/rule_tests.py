"""Running the tests that rules carry, through the one matcher, without Java.

A trace in short form has any of: ``status, name, experiment, duration_ms, request, response, tags, metadata,
tokens, cost, feedback, spans`` (each span: ``type, status, name, duration_ms, inputs, outputs, attributes``);
``rules.model.ShortTrace`` checks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from rules.matcher import Matcher, explain, raw_table
from rules.model import TraceRule

_START = datetime(2026, 1, 1, tzinfo=UTC)
_MAP = pa.map_(pa.string(), pa.string())
_SPAN = pa.struct(
    [("span_id", pa.string()), ("parent_id", pa.string()), ("name", pa.string()), ("status_code", pa.string()),
     ("status_message", pa.string()), ("start_time", pa.timestamp("us", "UTC")), ("end_time", pa.timestamp("us", "UTC")),
     ("attributes", _MAP)]
)  # fmt: skip
_ASSESSMENT = pa.struct([("assessment_name", pa.string()), ("feedback_value", pa.string())])
_TRACE = pa.schema(
    [("trace_id", pa.string()), ("experiment_name", pa.string()), ("state", pa.string()), ("request", pa.string()),
     ("response", pa.string()), ("request_time", pa.timestamp("us", "UTC")), ("execution_duration_ms", pa.float64()),
     ("tags", _MAP), ("trace_metadata", _MAP), ("spans", pa.list_(_SPAN)),
     ("assessments", pa.list_(_ASSESSMENT))]
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A test of a rule that did not come out as the rule's author said."""

    rule: str
    number: int
    expected: bool
    trace: str
    why: str = ""  # the parts of the condition and what each came to


def run_tests(rule: TraceRule) -> list[Failure]:
    """Run a rule's own tests; the failures, none if all is well."""
    failures, matcher = [], Matcher([rule.when])
    for number, (expected, text) in enumerate(rule.tests, 1):
        table = raw_table(short_trace(json.loads(text)), matcher.columns)
        matched = bool(matcher.match(table)[0, 0])
        if matched != expected:
            failures.append(Failure(rule.id, number, expected, text, _why(explain(rule.when, table))))
    return failures


def _why(part: Mapping[str, Any]) -> str:
    """The leaves of an explanation on one line."""
    if part.get("parts"):
        return "; ".join(_why(inner) for inner in part["parts"])
    return f"{part.get('text')} is {part.get('result', part.get('matched'))}"


def short_trace(short: Mapping[str, Any]) -> pa.Table:
    """One trace in short form as a table of one row."""
    metadata = {key: _text(value) for key, value in short.get("metadata", {}).items()}
    if short.get("tokens"):
        metadata["mlflow.trace.tokenUsage"] = json.dumps(
            {f"{key}_tokens": n for key, n in short["tokens"].items() if n is not None}
        )
    if short.get("cost") is not None:
        metadata["mlflow.trace.cost"] = json.dumps({"total_cost": short["cost"]})
    tags = {key: _text(value) for key, value in short.get("tags", {}).items()}
    if short.get("name") is not None:
        tags["mlflow.traceName"] = short["name"]
    row = {
        "trace_id": "test",
        "experiment_name": short.get("experiment"),
        "state": short.get("status", "OK"),
        "request": short.get("request"),
        "response": short.get("response"),
        "request_time": _START,
        "execution_duration_ms": short.get("duration_ms"),
        "tags": list(tags.items()),
        "trace_metadata": list(metadata.items()),
        "spans": [_span(index, span) for index, span in enumerate(short.get("spans", []))],
        "assessments": [
            {"assessment_name": name, "feedback_value": json.dumps(value)} for name, value in short.get("feedback", {}).items()
        ],
    }
    return pa.Table.from_pylist([row], schema=_TRACE)


def _text(value: Any) -> str:
    """As MLflow keeps tags: texts; a YAML ``true`` is written as it was in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _span(index: int, short: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in short.get("attributes", {}).items()
    }
    attributes["mlflow.spanType"] = json.dumps(short.get("type", "UNKNOWN"))
    for key, name in (("inputs", "mlflow.spanInputs"), ("outputs", "mlflow.spanOutputs")):
        if key in short:
            attributes[name] = short[key] if isinstance(short[key], str) else json.dumps(short[key])
    return {
        "span_id": str(index),
        "parent_id": short.get("parent_id"),
        "name": short.get("name"),
        "status_code": short.get("status", "OK"),
        "status_message": short.get("status_message"),
        "start_time": _START,
        "end_time": _START + timedelta(milliseconds=short.get("duration_ms", 0)),
        "attributes": list(attributes.items()),
    }

"""A trace in short form, as rule tests write it, and as the row that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import Field

from rules.kinds.strict import Strict

_START = datetime(2026, 1, 1, tzinfo=UTC)
_MAP = pa.map_(pa.string(), pa.string())
_SPAN = pa.struct(
    [
        ("span_id", pa.string()),
        ("parent_id", pa.string()),
        ("name", pa.string()),
        ("status_code", pa.string()),
        ("status_message", pa.string()),
        ("start_time", pa.timestamp("us", "UTC")),
        ("end_time", pa.timestamp("us", "UTC")),
        ("attributes", _MAP),
        ("events", pa.list_(pa.struct([("name", pa.string()), ("attributes", _MAP)]))),
    ]
)
_ASSESSMENT = pa.struct(
    [(name, pa.string()) for name in ("assessment_name", "feedback_value", "expectation_value")]
)
_TRACE = pa.schema(
    [
        ("trace_id", pa.string()),
        ("experiment_name", pa.string()),
        ("state", pa.string()),
        ("request", pa.string()),
        ("response", pa.string()),
        ("request_time", pa.timestamp("us", "UTC")),
        ("execution_duration_ms", pa.float64()),
        ("tags", _MAP),
        ("trace_metadata", _MAP),
        ("spans", pa.list_(_SPAN)),
        ("assessments", pa.list_(_ASSESSMENT)),
    ]
)

_USAGE = {"cache_read": "cache_read_input_tokens", "cache_write": "cache_creation_input_tokens"}

Scalar = str | int | float | bool
Value = Scalar | None


class ShortException(Strict):
    """The exception that a span of a test's trace recorded."""

    type: str | None = Field(None, description="the name of its class, such as TimeoutError")
    message: str | None = Field(None, description="what it says")


class ShortSpan(Strict):
    """A span of a test's trace."""

    type: str = Field("UNKNOWN", description="such as TOOL, LLM, CHAT_MODEL, RETRIEVER, AGENT, CHAIN")
    status: str = Field("OK", description="OK, ERROR or UNSET")
    status_message: str | None = Field(None, description="what it says about an error")
    exception: ShortException | None = Field(None, description="the exception that it recorded")
    model: str | None = Field(None, description="the model that it asked")
    name: str | None = Field(None, description="its name")
    parent_id: str | None = Field(None, description="the number of its parent in the list, from 0, as a text")
    duration_ms: float = Field(0, ge=0, description="how long it took, ms")
    inputs: Any = Field(None, description="its inputs; what is not a text is written as JSON")
    outputs: Any = Field(None, description="its outputs")
    attributes: dict[str, Any] = Field({}, description="its other attributes")


class ShortTokens(Strict):
    """How many tokens a test's trace used."""

    input: int | None = Field(None, description="tokens read")
    output: int | None = Field(None, description="tokens written")
    total: int | None = Field(None, description="both; default: their sum")
    cache_read: int | None = Field(None, description="those of the input that came from a cache")
    cache_write: int | None = Field(None, description="those of the input that a cache took")


class ShortTrace(Strict):
    """A trace in a test: only what matters to the rule; the rest has no value."""

    status: str = Field("OK", description="OK or ERROR")
    name: str | None = Field(None, description="its name")
    experiment: str | None = Field(None, description="the name of its experiment")
    duration_ms: float | None = Field(None, description="how long it took, ms")
    request_time: datetime | None = Field(
        None, description="when it began, UTC unless a zone is given; default: 2026-01-01T00:00:00Z"
    )
    request: str | None = Field(None, description="what was asked")
    response: str | None = Field(None, description="what was answered")
    tags: dict[str, Scalar] = Field({}, description="its tags")
    metadata: dict[str, Scalar] = Field({}, description="its metadata")
    tokens: ShortTokens | None = Field(None, description="the tokens it used")
    cost: float | None = Field(None, description="what it cost, USD")
    feedback: dict[str, Value] = Field({}, description="feedback by name")
    expectation: dict[str, Value] = Field({}, description="expectations by name")
    spans: list[ShortSpan] = Field([], description="its spans")


def short_trace(short: Mapping[str, Any]) -> pa.Table:
    """One trace in short form as a table of one row."""
    metadata = {key: _text(value) for key, value in short.get("metadata", {}).items()}
    if short.get("tokens"):
        metadata["mlflow.trace.tokenUsage"] = json.dumps(
            {_USAGE.get(key, f"{key}_tokens"): n for key, n in short["tokens"].items() if n is not None}
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
        "request_time": _time(short.get("request_time")),
        "execution_duration_ms": short.get("duration_ms"),
        "tags": list(tags.items()),
        "trace_metadata": list(metadata.items()),
        "spans": [_span(index, span) for index, span in enumerate(short.get("spans", []))],
        "assessments": [
            {"assessment_name": name, f"{kind}_value": json.dumps(value)}
            for kind in ("feedback", "expectation")
            for name, value in short.get(kind, {}).items()
        ],
    }
    return pa.Table.from_pylist([row], schema=_TRACE)


def _text(value: Any) -> str:
    """As MLflow keeps tags: texts; a YAML ``true`` is written as it was in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _time(written: str | None) -> datetime:
    time = datetime.fromisoformat(written) if written else _START
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _span(index: int, short: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in short.get("attributes", {}).items()
    }
    attributes["mlflow.spanType"] = json.dumps(short.get("type", "UNKNOWN"))
    for key, name in (("inputs", "mlflow.spanInputs"), ("outputs", "mlflow.spanOutputs")):
        if key in short:
            attributes[name] = short[key] if isinstance(short[key], str) else json.dumps(short[key])
    if short.get("model") is not None:
        attributes["mlflow.llm.model"] = json.dumps(short["model"])
    exception = short.get("exception") or {}
    recorded = [(f"exception.{key}", value) for key, value in exception.items() if value is not None]
    return {
        "span_id": str(index),
        "parent_id": short.get("parent_id"),
        "name": short.get("name"),
        "status_code": short.get("status", "OK"),
        "status_message": short.get("status_message"),
        "start_time": _START,
        "end_time": _START + timedelta(milliseconds=short.get("duration_ms", 0)),
        "attributes": list(attributes.items()),
        "events": [{"name": "exception", "attributes": recorded}] if recorded else [],
    }

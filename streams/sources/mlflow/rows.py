"""An MLflow trace as a row of the store's table ``traces``, and the light hash that notices a later edit.

Attributes keep the JSON that MLflow stores (quotes included).  The light hash covers what a listing without
spans shows (state, times, tags but our own, metadata, assessments), so that a sweep finds feedback and
tags given later without fetching spans.

Whatever a server holds has a row, so that no trace keeps another out of the store: text that has no UTF-8 is
replaced, and a time that is no date of the calendar is null (the batch then refuses and counts the trace).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.units import utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OWN_TAGS = "tracesieve."
_OWN_SOURCE = "tracesieve"
_ISSUE = "iss-"  # a reference to an issue is named by its id
_STATUS = {"STATUS_CODE_OK": "OK", "STATUS_CODE_ERROR": "ERROR", "STATUS_CODE_UNSET": "UNSET"}

_TOO_DEEP = '"nested too deep to be read"'

Row = dict[str, Any]


def trace_row(trace: Any, experiment_name: str | None) -> Row:
    """The row of a whole ``mlflow.entities.Trace``, without ``landed_us``."""
    row = info_row(trace.info, experiment_name)
    row["spans"] = [_span(span, row["trace_id"]) for span in trace.data.spans]
    root = next((span for span in row["spans"] if not span["parent_id"]), None)
    if root is not None:
        row["request"] = root["attributes"].get("mlflow.spanInputs", row["request"])
        row["response"] = root["attributes"].get("mlflow.spanOutputs", row["response"])
    return row


def info_row(info: Any, experiment_name: str | None) -> Row:
    """The row of an ``mlflow.entities.TraceInfo``, without ``landed_us``: no spans; request and response are
    MLflow's previews.
    """
    duration = info.execution_duration
    return {
        "trace_id": info.trace_id,
        "experiment_id": info.experiment_id,
        "experiment_name": _text(experiment_name),
        "client_request_id": _text(info.client_request_id),
        "request_time": _from_ms(info.request_time),
        "state": getattr(info.state, "value", str(info.state)),
        "execution_duration_ms": None if duration is None else float(duration),
        "request": _text(info.request_preview),
        "response": _text(info.response_preview),
        "trace_metadata": _strings(info.trace_metadata),
        "tags": _strings(info.tags),
        "spans": [],
        # An overridden assessment counts no more, as in MLflow's own filters; our own are no content.
        "assessments": [
            _assessment(one) for one in info.assessments or [] if one.valid is not False and not _is_own(one)
        ],
    }


def end_us(info: Any) -> int:
    """The end of a trace, µs; its start while it has no duration."""
    return int(info.request_time + max(info.execution_duration or 0, 0)) * 1000


def client_span_count(info: Any) -> int:
    """How many spans the trace has by MLflow's client; 0 where that counted none (OTLP)."""
    try:
        return int(json.loads(info.trace_metadata["mlflow.trace.sizeStats"])["num_spans"])
    except (KeyError, TypeError, ValueError):
        return 0


def light_hash(row: Mapping[str, Any]) -> int:
    """A 64-bit hash of what a listing shows of the trace; equal for a row made here and for one read from the
    table.
    """
    shown = dict(_pairs(row["tags"]))
    tags = sorted((k, v) for k, v in shown.items() if k != "eval_candidate" and not k.startswith(_OWN_TAGS))
    candidate = shown.get("eval_candidate")
    if candidate and candidate != shown.get("tracesieve.category"):
        tags.append(
            ("eval_candidate", candidate)
        )  # a person's own; one that we wrote changes without the trace landing again
    assessments = sorted(
        json.dumps([_plain(one[key]) for key in sorted(one)], sort_keys=True)
        for one in row["assessments"] or []
    )
    seen = [
        row["state"],
        _plain(row["request_time"]),
        row["execution_duration_ms"],
        tags,
        sorted(_pairs(row["trace_metadata"])),
        assessments,
    ]
    digest = hashlib.blake2b(json.dumps(seen).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _pairs(value: Any) -> list[tuple[str, str | None]]:
    """A map as pairs, whether it is a dict or the list of entries that Polars reads a map as."""
    if isinstance(value, Mapping):
        return list(value.items())
    return [(entry["key"], entry["value"]) for entry in value or []]


def _plain(value: Any) -> Any:
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def _span(span: Any, trace_id: str) -> Row:
    raw = span.to_dict()
    status = raw["status"]
    code = str(status.get("code") or "STATUS_CODE_UNSET")
    return {
        "span_id": span.span_id,
        "trace_id": trace_id,
        "parent_id": span.parent_id,
        "start_time": _from_ns(raw["start_time_unix_nano"]),
        "end_time": _from_ns(raw["end_time_unix_nano"]),
        "status_code": _STATUS.get(code, code),
        "status_message": _text(status.get("message")) or None,
        "name": _text(raw["name"]),
        "attributes": _strings(raw["attributes"]),
        "events": [
            {
                "name": _text(event["name"]),
                "timestamp": _from_ns(event["time_unix_nano"]),
                "attributes": _strings(event.get("attributes")),
            }
            for event in raw.get("events") or []
        ],
    }


def _is_own(assessment: Any) -> bool:
    """Whether it is one that we wrote; a person's of the same name is not."""
    source_id = assessment.source.source_id if assessment.source else None
    return source_id == _OWN_SOURCE and str(assessment.name).startswith((_OWN_TAGS, _ISSUE))


def _assessment(one: Any) -> Row:
    feedback, expectation = one.feedback, one.expectation
    error = getattr(feedback, "error", None)
    return {
        "assessment_id": one.assessment_id,
        "assessment_name": _text(one.name),
        "source_type": str(one.source.source_type) if one.source else None,
        "source_id": _text(one.source.source_id) if one.source else None,
        "create_time": _from_ms(one.create_time_ms),
        "last_update_time": _from_ms(one.last_update_time_ms),
        "feedback_value": _json(feedback.value, sort_keys=True) if feedback is not None else None,
        "feedback_error": _text(error.error_message or error.error_code) if error is not None else None,
        "expectation_value": _json(expectation.value, sort_keys=True) if expectation is not None else None,
        "rationale": _text(one.rationale),
        "span_id": one.span_id,
    }


def _strings(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        _clean(str(key)): _clean(value if isinstance(value, str) else _json(value))
        for key, value in (values or {}).items()
    }


def _json(value: Any, *, sort_keys: bool = False) -> str:
    try:
        return json.dumps(value, default=str, sort_keys=sort_keys)
    except RecursionError:
        return _TOO_DEEP


def _text(value: str | None) -> str | None:
    return None if value is None else _clean(str(value))


def _clean(text: str) -> str:
    """Half of a surrogate pair, which JSON can carry, has no UTF-8: it becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _from_ms(milliseconds: int) -> datetime | None:
    return _from_us(int(milliseconds) * 1000)


def _from_ns(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else _from_us(int(nanoseconds) // 1000)


def _from_us(microseconds: int) -> datetime | None:
    try:
        return utc(microseconds)
    except OverflowError:
        return None

"""Filling a real MLflow server with traces for tests: one at a time through MLflow's own client, many at once
by copying the rows of one that it logged, and single spans over OTLP.
"""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import SpanStatusCode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.servers import MlflowServer


def log_trace(
    server: MlflowServer,
    experiment: str,
    end_us: int,
    *,
    ms: int = 500,
    error: bool = False,
    name: str = "answer",
    inputs: object = None,
    outputs: object = "ok",
    spans: Sequence[tuple[str, bool, object]] = (("TOOL", False, "found"),),
    tokens: tuple[int, int] | None = None,
) -> str:
    """One finished trace with child spans ``(type, failed, outputs)``, through MLflow's client, with times of
    our own.
    """
    mlflow.set_tracking_uri(server.uri)
    start_ns, end_ns = (end_us - ms * 1000) * 1000, end_us * 1000
    root = mlflow.start_span_no_context(
        name,
        inputs={"q": "hi"} if inputs is None else inputs,
        start_time_ns=start_ns,
        experiment_id=experiment,
        tags={"environment": "prod"},
    )
    for kind, failed, found in spans:
        child = mlflow.start_span_no_context(
            kind.lower(), span_type=kind, parent_span=root, start_time_ns=start_ns
        )
        child.set_outputs(found)
        if tokens and kind == "CHAT_MODEL":
            usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
            child.set_attribute("mlflow.chat.tokenUsage", usage)
        child.end(status=SpanStatusCode.ERROR if failed else SpanStatusCode.OK, end_time_ns=end_ns)
    root.end(outputs=outputs, status=SpanStatusCode.ERROR if error else SpanStatusCode.OK, end_time_ns=end_ns)
    return str(root.trace_id)


def copy_traces(
    server: MlflowServer, template: str, ends_us: Iterable[int], *, state: str | None = None
) -> list[str]:
    """Copies of a trace with its spans, tags and metadata, at other end times; straight in the server's
    database.
    """
    made: list[str] = []
    with sqlite3.connect(server.database, timeout=60) as base:
        base.row_factory = sqlite3.Row
        info = dict(base.execute("SELECT * FROM trace_info WHERE request_id = ?", [template]).fetchone())
        spans = [dict(row) for row in base.execute("SELECT * FROM spans WHERE trace_id = ?", [template])]
        sides = {
            table: [
                dict(row) for row in base.execute(f"SELECT * FROM {table} WHERE request_id = ?", [template])
            ]
            for table in ("trace_tags", "trace_request_metadata")
        }
        rows: dict[str, list[dict[str, Any]]] = {
            "trace_info": [],
            "spans": [],
            **{table: [] for table in sides},
        }
        for end_us in ends_us:
            key = secrets.token_bytes(16)
            trace_id = f"tr-{key.hex()}"
            shift_ms = end_us // 1000 - info["timestamp_ms"] - (info["execution_time_ms"] or 0)
            copy = {**info, "request_id": trace_id, "timestamp_ms": info["timestamp_ms"] + shift_ms}
            rows["trace_info"].append({**copy, "status": state or info["status"]})
            for table, entries in sides.items():
                rows[table] += [{**entry, "request_id": trace_id} for entry in entries]
            rows["spans"] += [_copied_span(span, trace_id, key, shift_ms * 1_000_000) for span in spans]
            made.append(trace_id)
        for table, entries in rows.items():
            if entries:
                names = list(entries[0])
                marks = ",".join("?" * len(names))
                values = [[entry[name] for name in names] for entry in entries]
                base.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", values)
    return made


def _copied_span(span: dict[str, Any], trace_id: str, key: bytes, shift_ns: int) -> dict[str, Any]:
    content = json.loads(span["content"])
    content["trace_id"] = base64.b64encode(key).decode()
    content["attributes"]["mlflow.traceRequestId"] = json.dumps(trace_id)
    for name in ("start_time_unix_nano", "end_time_unix_nano"):
        content[name] = int(content[name]) + shift_ns
    kept = {
        name: value for name, value in span.items() if name != "duration_ns"
    }  # the database computes that one
    moved = {name: span[name] + shift_ns for name in ("start_time_unix_nano", "end_time_unix_nano")}
    return {**kept, **moved, "trace_id": trace_id, "content": json.dumps(content)}


def insert_bare(
    server: MlflowServer, experiment: str, prefix: str, count: int, end_ms: int, state: str = "OK"
) -> list[str]:
    """Many traces without spans, straight in the server's database, all with one end."""
    with sqlite3.connect(server.database, timeout=60) as base:
        ids = [f"tr-{prefix}{i:06d}" for i in range(count)]
        base.executemany(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status) "
            "VALUES (?,?,?,?,?)",
            [(one, int(experiment), end_ms - 100, 100, state) for one in ids],
        )
        base.executemany(
            "INSERT INTO trace_tags (request_id, key, value) VALUES (?, 'mlflow.trace.spansLocation', "
            "'TRACKING_STORE')",
            [(one,) for one in ids],
        )
    return ids


def send_span(
    server: MlflowServer,
    experiment: str,
    trace: bytes,
    span: bytes,
    parent: bytes,
    start_us: int,
    end_us: int,
) -> None:
    """One span over OTLP; MLflow makes or extends the trace it belongs to."""
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add().scope_spans.add().spans.add()
    one.trace_id, one.span_id, one.parent_span_id, one.name = trace, span, parent, "step"
    one.start_time_unix_nano, one.end_time_unix_nano = start_us * 1000, end_us * 1000
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    answer = requests.post(
        f"{server.uri}/v1/traces", data=request.SerializeToString(), headers=headers, timeout=20
    )
    answer.raise_for_status()


def finish(server: MlflowServer, trace_id: str, ms: int) -> None:
    """An unfinished trace ends, ``ms`` after it began."""
    with sqlite3.connect(server.database, timeout=60) as base:
        base.execute(
            "UPDATE trace_info SET status = 'OK', execution_time_ms = ? WHERE request_id = ?", [ms, trace_id]
        )


def delete_trace(server: MlflowServer, experiment: str, trace_id: str) -> None:
    """Delete one trace through MLflow's client."""
    MlflowClient(server.uri).delete_traces(experiment, trace_ids=[trace_id])


def logged_trace(uri: str, experiment_id: str) -> str:
    """The id of a new, small trace."""
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(uri)  # the exporter of spans knows no other
    client = MlflowClient(uri)
    span = client.start_trace("agent", experiment_id=experiment_id, inputs={"q": 1})
    client.end_trace(span.trace_id, outputs={"a": 1})
    return str(span.trace_id)

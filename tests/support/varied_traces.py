"""Sixty varied traces on a real MLflow server: nulls, quotes, alphabets, several spans, several feedbacks of
one name.
"""

from __future__ import annotations

import random
import sqlite3
import time

import mlflow
from mlflow.entities import AssessmentSource, SpanStatusCode
from support.servers import MlflowServer

NAMES = [
    "agent",
    "Agent",
    "support agent",
    'the "new" one',
    "it's me",
    "日本語 agent",
    "100% sure",
    "a_b",
    "x.y-z",
]
TEXTS = ["prod", "Prod", "staging", "", "5", "it's", 'say "hi"', "naïve", "日本", "50%", "a_c", "abc", "x y"]
TAGS = ["env", "my key", "a.b", "note", "order"]
METADATA = ["team", "a b", "mlflow.trace.session", "mlflow.trace.user"]
SPANS = ["call model", "search", "Search", "it's a tool", "plan", "日本"]
TYPES = ["TOOL", "LLM", "RETRIEVER", "CHAIN", "UNKNOWN"]
WORDS = ["refund", "invoice", "Invoice", "gedächtnis", "tokyo", "half"]
ATTRIBUTES = {"colour": ["crimson", "teal"], "region code": ["north", "south"]}
RUNS = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]
CLIENT_IDS = ["req-1", "req-2", "REQ-3", "it's-4"]
FEEDBACKS = ["correct", "score", "my comment", "judge"]
EXPECTATIONS = ["answer", "score"]
VALUES = [
    True,
    False,
    1,
    0.5,
    2,
    -3.25,
    100,
    "yes",
    "no",
    "true",
    "5",
    "it's",
    'a "b" c',
    "naïve",
    "日本",
    "",
]
START_MS = (
    time.time_ns() // 1_000_000 // 60_000 - 60
) * 60_000  # an hour ago: the server's own times need not be exact


def log_traces(server: MlflowServer, experiment_id: str, count: int = 60) -> None:
    """Log them; what a client cannot say (client request ids, a missing duration) is written into the
    database.
    """
    mlflow.set_tracking_uri(server.uri)
    r = random.Random(20)
    ids = [_log(r, experiment_id, START_MS + i * 1000 + r.choice([0, 1, 7])) for i in range(count)]
    with sqlite3.connect(server.database, timeout=30) as base:
        for i, trace_id in enumerate(ids):
            if i % 3:
                base.execute(
                    "UPDATE trace_info SET client_request_id = ? WHERE request_id = ?",
                    (CLIENT_IDS[i % 4], trace_id),
                )
            if i in (5, 6):
                base.execute(
                    "UPDATE trace_info SET execution_time_ms = NULL WHERE request_id = ?", (trace_id,)
                )


def _log(r: random.Random, experiment_id: str, start_ms: int) -> str:
    tags = {key: r.choice(TEXTS) for key in TAGS if r.random() < 0.6}
    metadata = {key: r.choice(TEXTS) for key in METADATA if r.random() < 0.6}
    if r.random() < 0.5:
        metadata["mlflow.sourceRun"] = r.choice(RUNS)
    start_ns = start_ms * 1_000_000
    end_ns = start_ns + r.choice([0, 1, 5, 250, 1000, 1001, 30_000]) * 1_000_000
    root = mlflow.start_span_no_context(
        r.choice(NAMES),
        span_type="CHAIN",
        inputs={"q": r.choice(WORDS)},
        tags=tags,
        metadata=metadata,
        experiment_id=experiment_id,
        start_time_ns=start_ns,
    )
    for _ in range(r.choice([0, 1, 2, 4])):
        child = mlflow.start_span_no_context(
            r.choice(SPANS),
            span_type=r.choice(TYPES),
            parent_span=root,
            start_time_ns=start_ns,
            inputs={"x": r.choice(WORDS)},
            attributes={key: r.choice(of) for key, of in ATTRIBUTES.items() if r.random() < 0.5},
        )
        status = r.choice([SpanStatusCode.OK, SpanStatusCode.ERROR, SpanStatusCode.UNSET])
        child.end(outputs=r.choice(WORDS), status=status, end_time_ns=end_ns)
    root.end(outputs="done", status=r.choice([SpanStatusCode.OK, SpanStatusCode.ERROR]), end_time_ns=end_ns)
    _assess(r, root.trace_id)
    return root.trace_id


def _assess(r: random.Random, trace_id: str) -> None:
    person = AssessmentSource("HUMAN", "ann")
    given = []
    for name in FEEDBACKS:
        for _ in range(r.choice([0, 0, 1, 2])):
            given.append(
                mlflow.log_feedback(trace_id=trace_id, name=name, value=r.choice(VALUES), source=person)
            )
    if given and r.random() < 0.4:
        old = r.choice(given)
        mlflow.override_feedback(
            trace_id=trace_id, assessment_id=old.assessment_id, value=r.choice(VALUES), source=person
        )
    for name in EXPECTATIONS:
        if r.random() < 0.4:
            mlflow.log_expectation(trace_id=trace_id, name=name, value=r.choice(VALUES), source=person)

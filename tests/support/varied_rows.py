"""Random traces as rows, in which everything that may be null is null at times."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import pyarrow as pa

from store.schemas import TRACES

WORDS = ["prod", "Prod", "staging", "", "it's", "naïve", "日本", "a_c", "abc", "50%", "5", "Straße"]
FIGURES = ["5", "-0.5", " 12 ", "1e3", ".25", "7.", "+3", "", "x5", "0x10", "1_000", "五"]
MODELS = ["gpt-4o", "claude", None]
ROWS = 150


def _span(r: random.Random, start: dt.datetime) -> dict[str, Any]:
    attributes = (
        {"mlflow.spanType": json.dumps(r.choice(["TOOL", "CHAT_MODEL", "CHAIN"]))} if r.random() < 0.9 else {}
    )
    if r.random() < 0.6:
        attributes["temperature"] = r.choice(FIGURES)
    if model := r.choice(MODELS):
        attributes["mlflow.llm.model"] = json.dumps(model)
    return {
        "span_id": "s",
        "events": _events(r, start),
        "name": r.choice(["search", "plan", "it's", None]),
        "status_code": r.choice(["OK", "ERROR", "UNSET", None]),
        "status_message": r.choice([None, *WORDS]),
        "start_time": start,
        "end_time": None if r.random() < 0.1 else start + dt.timedelta(milliseconds=r.choice([0, 1, 5, 250])),
        "attributes": list(attributes.items()),
    }


def _events(r: random.Random, start: dt.datetime) -> list[dict[str, Any]] | None:
    """Up to three events of a span, of which some are exceptions."""
    found = []
    for _ in range(r.choice([0, 0, 1, 2, 3])):
        attributes = {"exception.type": r.choice(["KeyError", "TimeoutError"])} if r.random() < 0.7 else {}
        if attributes and r.random() < 0.7:
            attributes["exception.message"] = r.choice(WORDS)
        found.append({"name": "exception", "timestamp": start, "attributes": list(attributes.items())})
    return found if r.random() < 0.8 else None


def traces() -> pa.Table:
    """Random traces in which everything that may be null is null at times."""
    r, rows = random.Random(11), []
    for index in range(ROWS):
        start = dt.datetime(2026, 3, 27, tzinfo=dt.UTC) + dt.timedelta(minutes=index * 47, seconds=index)
        metadata = {"team": r.choice(WORDS)} if r.random() < 0.7 else {}
        if r.random() < 0.7:
            kinds = ("input", "output", "total", "cache_read_input", "cache_creation_input")
            used = {f"{kind}_tokens": r.randint(0, 9) for kind in kinds}
            metadata["mlflow.trace.tokenUsage"] = json.dumps(used)
        if r.random() < 0.7:
            metadata["mlflow.trace.cost"] = json.dumps({"total_cost": r.choice([0.25, 0.5, 1.75])})
        tags = {key: r.choice(WORDS) for key in ("env", "note", "mlflow.traceName") if r.random() < 0.7}
        if r.random() < 0.7:
            tags["a`b"] = r.choice(FIGURES)
        spans = None if r.random() < 0.1 else [_span(r, start) for _ in range(r.choice([0, 1, 1, 2, 4]))]
        rows.append(
            {
                "trace_id": f"t{index}",
                "client_request_id": r.choice([None, "c1", "c2"]),
                "state": r.choice(["OK", "ERROR", None]),
                "request_time": start if r.random() < 0.9 else None,
                "execution_duration_ms": r.choice([None, 0.0, 1.0, 2.5, 250.0]),
                "spans": spans,
                "request": r.choice([None, *WORDS]),
                "tags": None if r.random() < 0.1 else list(tags.items()),
                "trace_metadata": None if r.random() < 0.1 else list(metadata.items()),
            }
        )
    return pa.Table.from_pylist(rows, schema=TRACES)

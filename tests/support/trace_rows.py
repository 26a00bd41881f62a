"""Traces as rows of an Arrow table, with only what a test is about."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from store.schemas import TRACES

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def span(
    name: str | None = "s", kind: str = "TOOL", status: str | None = "OK", ms: int = 10, **attributes: str
) -> dict[str, Any]:
    attrs = {"mlflow.spanType": f'"{kind}"', **attributes}
    return {
        "span_id": name,
        "name": name,
        "status_code": status,
        "attributes": list(attrs.items()),
        "start_time": T0,
        "end_time": T0 + dt.timedelta(milliseconds=ms),
    }


def feedback(name: str, value: str) -> dict[str, str]:
    return {"assessment_name": name, "feedback_value": value}


def traces(*rows: dict[str, Any]) -> pa.Table:
    full = []
    for i, row in enumerate(rows):
        base = {"trace_id": f"t{i}", "state": "OK", "request_time": T0, "execution_duration_ms": 100.0}
        row = {**base, **row}
        for key in ("tags", "trace_metadata"):
            row[key] = list((row.get(key) or {}).items())
        full.append(row)
    return pa.Table.from_pylist(full, schema=TRACES)

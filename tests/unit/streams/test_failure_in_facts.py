"""The failure of a trace reaches its fact, is withdrawn with it, and is filled into facts that lack it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow as pa
from support.trace_rows import span, traces

from rules.matcher import Matcher, raw_table
from streams.batch.match import _PLAIN, Plan, narrow


def narrowed(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    todo = Plan((), (), (), ("experiment",))
    raw = raw_table(traces(*rows), todo.columns)
    plain = {"start_us": pa.int64(), "duration_ms": pa.float64(), "landed_us": pa.int64()}
    plain |= {"content_hash": pa.int64(), "change_us": pa.int64()}
    for name in _PLAIN:
        column = pa.array([str(row.get(name, "")) for row in rows]) if name not in plain else None
        found = pa.nulls(len(rows), plain[name]) if column is None else column
        raw = raw.append_column(f"_{name}", found)
    found = narrow(raw, todo, Matcher(())).to_pylist()
    return [{**row, "failure": row["failure"] and json.loads(row["failure"])} for row in found]


def test_each_trace_has_its_own_failure() -> None:
    broken = {**span("call", status="ERROR"), "status_message": "TimeoutError: after 30 s"}
    good, bad, untraced = narrowed(
        {"spans": [span("call")]}, {"state": "ERROR", "spans": [span("root"), broken]}, {"state": "ERROR"}
    )
    assert good["failure"] is None
    assert bad["failure"]["span_name"] == "call"
    assert bad["failure"]["error_type"] == "TimeoutError"
    assert bad["failure"]["handled"] is False
    assert untraced["failure"]["span_name"] is None


def test_a_batch_without_failures_has_the_same_columns() -> None:
    (one,) = narrowed({"spans": []})
    assert one["failure"] is None
    assert pl.DataFrame(pa.Table.from_pylist([one])).height == 1

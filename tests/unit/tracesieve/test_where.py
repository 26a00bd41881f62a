"""``--where``: the traces to keep, and what a person and a script are told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from support.counted_traces import count
from support.trace_rows import T0

from store import Store, open_store
from store.content import TraceTable
from tracesieve.analysis.where import kept_json, kept_lines, where
from tracesieve.errors import TracesieveError

LAST = 4 * 10**15


def made(path: Path) -> Store:
    store = open_store(str(path))
    rows = [
        {
            "trace_id": f"t{n}",
            "experiment_id": "1",
            "experiment_name": "support",
            "request_time": T0 + dt.timedelta(minutes=n),
            "state": "OK",
            "execution_duration_ms": 1.0,
            "trace_metadata": [("mlflow.trace.user", f"u{n % 2}")],
        }
        for n in range(4)
    ]
    count(store, 1, rows)
    return store


def test_a_frame_keeps_the_traces_that_match(tmp_path: Path) -> None:
    store = made(tmp_path)
    kept = where(store, TraceTable(store.table("traces").uri), "user = 'u1'", 0, LAST, LAST)
    frame = pl.DataFrame({"trace_id": ["t3", "t0", "t1", "other"], "n": [1, 2, 3, 4]})
    assert kept.of(frame)["n"].to_list() == [1, 3]
    assert kept_json(kept) == {"condition": "user = 'u1'", "searched": 4, "matched": 2, "content_gone": 0}
    assert kept_lines(kept) == ["2 of 4 traces match user = 'u1'"]


def test_content_that_is_gone_is_said(tmp_path: Path) -> None:
    store = made(tmp_path)
    DeltaTable(store.table("traces").uri).delete("trace_id = 't1'")
    kept = where(store, TraceTable(store.table("traces").uri), "user = 'u1'", 0, LAST, LAST)
    assert (kept_json(kept)["matched"], kept_json(kept)["content_gone"]) == (1, 1)
    assert "Of 1 more it is not known" in kept_lines(kept)[1]


def test_a_fault_names_the_option(tmp_path: Path) -> None:
    store = made(tmp_path)
    with pytest.raises(TracesieveError, match="--where: unknown field `usr`"):
        where(store, TraceTable(store.table("traces").uri), "usr = 'u1'", 0, LAST, LAST)

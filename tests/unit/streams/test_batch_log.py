"""What the log says of a batch at level debug."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.delta_cases import NOW_US

from rules.rule_set import build_rule_set, parse_rule
from store import open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, process_batch

ROW = {
    "trace_id": "t", "experiment": "x", "group": ["x"], "start_us": NOW_US - 10**9, "duration_ms": 5.0,
    "state": "OK", "content_hash": 1, "change_us": 1, "hits": [],
}  # fmt: skip


def narrow(_frame: Any) -> pa.Table:
    return pa.Table.from_pylist([ROW], schema=NARROW)


def test_the_stages_of_a_batch_are_said_with_their_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = build_rule_set([parse_rule({"id": "a", "when": "status = 'ERROR'", "tag": "t"})])
    RuleSets(open_store(str(tmp_path))).put(rules, (), 1)
    caplog.set_level(logging.DEBUG, "streams")
    process_batch(None, 0, BatchWorker(BatchConfig(str(tmp_path), "s", ""), lambda: NOW_US, narrow))  # type: ignore[arg-type]
    (line,) = [one for one in caplog.messages if one.startswith("batch 0")]
    stages = r", ".join(
        rf"{name} \d+ ms" for name in ("begin", "read_and_match", "resolve", "facts", "windows", "end")
    )
    assert re.fullmatch(rf"batch 0: 1 rows; {stages}", line)

"""A store that cannot be written while a batch is under way: exit 3 and one message, and the next run goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from store.schemas import TRACES

pytestmark = pytest.mark.slow


def tracesieve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tracesieve.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_sem_08_a_store_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [
        {"trace_id": f"t{n}", "request_time": now - timedelta(seconds=100 + n), "state": "OK", "execution_duration_ms": 5.0,
         "tags": [], "trace_metadata": [], "spans": [], "assessments": []}
        for n in range(30)
    ]  # fmt: skip
    write_deltalake(
        str(tmp_path / "traces"), pa.Table.from_pylist(rows, schema=TRACES.remove(TRACES.get_field_index("landed_us")))
    )
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nmetrics: null\nspark: {master: 'local[2]', memory: 1g}\n"
    )
    (tmp_path / "st").mkdir()
    fault = tmp_path / "st" / "facts"
    fault.write_text("in the way")  # what a full disk does to the first write, wherever it is full
    failed = tracesieve("run", "--once", "-c", str(config))
    assert failed.returncode == 3, failed.stderr
    assert f"{fault} cannot be written" in failed.stderr.strip().splitlines()[-1]
    assert "Traceback" not in failed.stderr
    fault.unlink()
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    report = tracesieve("report", "-c", str(config), "--json")
    assert json.loads(report.stdout)["traces"] == 30

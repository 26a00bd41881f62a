"""Commands as a person types them, each a process of its own, and a small Delta table to try them on."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from support.json_times import wrong_times

from store.schemas import TRACES

MAIN = "from tracesieve.cli import main; main()"
SPARK = "spark: {master: 'local[2]', memory: 1g}\nmetrics: null\n"


def tracesieve(*arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, timeout=seconds
    )


def answer(*arguments: str) -> dict[str, Any]:
    done = tracesieve(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert wrong_times(found) == []
    return found


def write_table(table: Path, number: int, name: str = "tr", every_s: float = 5) -> None:
    """Append traces that ended up to a minute ago, the last first; each fourth failed."""
    now = datetime.now(UTC)
    rows = []
    for i in range(number):
        begin = now - timedelta(seconds=60 + every_s * i)
        rows.append(
            {
                "trace_id": f"{name}-{i}",
                "experiment_id": "1",
                "experiment_name": "support",
                "request_time": begin,
                "state": "ERROR" if i % 4 == 0 else "OK",
                "execution_duration_ms": 100.0,
                "request": "q",
                "response": "a",
                "tags": [("mlflow.traceName", "agent")],
                "trace_metadata": [],
                "spans": [],
                "assessments": [],
            }
        )
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(table), pa.Table.from_pylist(rows, schema=schema), mode="append")

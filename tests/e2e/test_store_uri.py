"""A run whose store is a URI: a second one is refused, and one that loses its lease stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from store import open_store
from store.lease import holder
from store.row_lease import RowLease
from store.schemas import TRACES

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-c", "from tracesieve.cli import main; main()"]


def test_sem_25_on_a_uri_a_second_run_is_refused_and_a_lost_lease_ends_a_run(tmp_path: Path) -> None:
    uri, begin = (tmp_path / "st").as_uri(), datetime.now(UTC) - timedelta(seconds=100)
    row = {"trace_id": "t", "request_time": begin, "state": "OK", "execution_duration_ms": 5.0, "tags": [],
           "trace_metadata": [], "spans": [], "assessments": []}  # fmt: skip
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(tmp_path / "traces"), pa.Table.from_pylist([row], schema=schema))
    config = tmp_path / "c.yaml"
    config.write_text(
        f"source: {{kind: delta_traces, table: traces}}\nstore: {uri}\nmetrics: null\nspark: {{master: 'local[2]', memory: 1g}}\n"
    )
    log = tmp_path / "log"
    with log.open("w") as out:
        run = subprocess.Popen([*COMMAND, "run", "-c", str(config)], stderr=out)
    try:
        deadline = time.monotonic() + 150
        while not (tmp_path / "st" / "facts").exists():
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no facts within 150 s"
            time.sleep(0.5)
        second = subprocess.run([*COMMAND, "run", "--once", "-c", str(config)], capture_output=True, text=True, timeout=120)
        assert second.returncode == 3, second.stderr
        assert f"pid {run.pid} on {socket.gethostname()}" in second.stderr
        thief = RowLease(uri, lambda: time.time_ns() // 1000 + 60_000_000)  # a clock a minute ahead: the row has expired
        thief.acquire()
        try:
            assert run.wait(60) == 3
        finally:
            thief.release()
        assert f"was taken by pid {os.getpid()} on" in log.read_text().strip().splitlines()[-1]
        assert holder(uri) is None
        assert open_store(uri).table("facts").read()["trace_id"].to_list() == ["t"]
    finally:
        if run.poll() is None:
            run.kill()
            run.wait(10)

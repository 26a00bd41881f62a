"""A run whose store is a URI: a second one is refused, and one that loses its lease stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import MAIN, SPARK, tracesieve, write_table

from store import open_store
from store.lease import holder
from store.lease.row_lease import RowLease

pytestmark = pytest.mark.slow


def test_sem_25_on_a_uri_a_second_run_is_refused_and_a_lost_lease_ends_a_run(tmp_path: Path) -> None:
    uri = (tmp_path / "st").as_uri()
    write_table(tmp_path / "traces", 1)
    config = tmp_path / "c.yaml"
    config.write_text(f"source: {{kind: delta_traces, table: traces}}\nstore: {uri}\n" + SPARK)
    log = tmp_path / "log"
    with log.open("w") as out:
        run = subprocess.Popen([sys.executable, "-c", MAIN, "run", "-c", str(config)], stderr=out)
    try:
        deadline = time.monotonic() + 150
        while not (tmp_path / "st" / "facts").exists():
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no facts within 150 s"
            time.sleep(0.5)
        second = tracesieve("run", "--once", "-c", str(config))
        assert second.returncode == 3, second.stderr
        assert f"pid {run.pid} on {socket.gethostname()}" in second.stderr
        thief = RowLease(
            uri, lambda: time.time_ns() // 1000 + 60_000_000
        )  # a clock a minute ahead: the row has expired
        thief.acquire()
        try:
            assert run.wait(60) == 3
        finally:
            thief.release()
        assert f"was taken by pid {os.getpid()} on" in log.read_text().strip().splitlines()[-1]
        assert holder(uri) is None
        assert open_store(uri).table("facts").read()["trace_id"].to_list() == ["tr-0"]
    finally:
        if run.poll() is None:
            run.kill()
            run.wait(10)

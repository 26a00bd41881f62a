"""How a live run ends: told in the middle of a batch, by SIGTERM or by a terminal's Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from command_line import MAIN, SPARK, answer, write_table

from store import Store, open_store


def wait_for_a_batch_under_way(store_path: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and run.poll() is None:
        if (store_path / "batches" / "_delta_log").is_dir() and phases(open_store(str(store_path), create=False)):
            return
        time.sleep(0.02)
    raise AssertionError(f"no batch began (exit code {run.poll()})")


def phases(store: Store) -> list[str]:
    return store.table("batches").read(["phase", "batch_id"], pl.col("batch_id") == 0)["phase"].to_list()


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl-c"])
def test_sem_25_26_told_to_stop_in_a_batch_it_finishes_it_says_what_follows_and_exits_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_table(tmp_path / "traces", 120)
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: traces}\nstore: st\nevaluate_after: 0s\n" + SPARK)
    with (tmp_path / "err").open("w") as errors:
        run = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", "-c", str(config)], stderr=errors, text=True, start_new_session=True
        )
    try:
        wait_for_a_batch_under_way(tmp_path / "st", run)
        began = time.monotonic()
        # A terminal sends Ctrl-C to all of the group, the JVM and its workers too; a supervisor asks the process alone.
        os.killpg(run.pid, number) if number == signal.SIGINT else os.kill(run.pid, number)
        code = run.wait(60)
        took = time.monotonic() - began
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait(10)
    said = (tmp_path / "err").read_text()
    assert (code, took < 30) == (0, True), f"{took:.0f} s: {said}"
    assert "Traceback" not in said, said
    store = open_store(str(tmp_path / "st"), create=False)
    assert sorted(phases(store)) == ["begin", "end"], said  # a table has no order of rows
    assert answer("report", "-c", str(config))["traces"] == 120
    assert [one["rule"] for one in answer("alerts", "list", "-c", str(config))["alerts"]] == ["error-rate-high"]

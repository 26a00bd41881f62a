"""How a run ends: by SIGTERM or Ctrl-C in the middle of a batch, and in the middle of landing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from support.command_line import MAIN, SPARK, answer, tracesieve, write_table
from support.mlflow_traces import insert_bare
from support.servers import MlflowServer

from store import Store, open_store
from streams.errors import Stopped
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource


def wait_for_a_batch_under_way(store_path: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and run.poll() is None:
        if (store_path / "batches" / "_delta_log").is_dir() and phases(
            open_store(str(store_path), create=False)
        ):
            return
        time.sleep(0.02)
    raise AssertionError(f"no batch began (exit code {run.poll()})")


def phases(store: Store) -> list[str]:
    return store.table("batches").read(["phase", "batch_id"], pl.col("batch_id") == 0)["phase"].to_list()


def stopped_in_a_batch(tmp_path: Path, number: signal.Signals, *options: str) -> tuple[Path, str]:
    """A run on 120 traces that gets a signal in its first batch: its config, and its log once it has ended in
    order.
    """
    write_table(tmp_path / "traces", 120)
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: traces}\nstore: st\nevaluate_after: 0s\n" + SPARK)
    with (tmp_path / "err").open("w") as errors:
        run = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", "-c", str(config), *options],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        wait_for_a_batch_under_way(tmp_path / "st", run)
        began = time.monotonic()
        # A terminal sends Ctrl-C to all of the group, the JVM and its workers too; a supervisor asks the
        # process alone.
        os.killpg(run.pid, number) if number == signal.SIGINT else os.kill(run.pid, number)
        code = run.wait(60)
        took = time.monotonic() - began
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait(10)
    log = (tmp_path / "err").read_text()
    assert (code, took < 30) == (0, True), f"{took:.0f} s: {log}"
    assert "Traceback" not in log, log
    return config, log


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl-c"])
def test_sem_25_26_a_signal_in_a_batch_lets_it_finish_with_what_follows_and_exit_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    config, log = stopped_in_a_batch(tmp_path, number)
    store = open_store(str(tmp_path / "st"), create=False)
    assert sorted(phases(store)) == ["begin", "end"], log  # a table has no order of rows
    assert answer("report", "-c", str(config))["traces"] == 120
    assert [one["rule"] for one in answer("alerts", "list", "-c", str(config))["alerts"]] == [
        "error-rate-high"
    ]


@pytest.mark.e2e
def test_sem_26_a_run_once_that_gets_a_signal_finishes_its_batch_and_the_next_one_does_the_rest(
    tmp_path: Path,
) -> None:
    config, log = stopped_in_a_batch(tmp_path, signal.SIGTERM, "--once")
    store = open_store(str(tmp_path / "st"), create=False)
    assert sorted(phases(store)) == ["begin", "end"], log
    done = tracesieve("run", "-c", str(config), "--once")
    assert done.returncode == 0, done.stderr
    assert phases(store).count("begin") == 1, "the batch was counted before and is not repeated"
    assert answer("report", "-c", str(config))["traces"] == 120
    assert [one["rule"] for one in answer("alerts", "list", "-c", str(config))["alerts"]] == [
        "error-rate-high"
    ]


@pytest.mark.e2e
def test_landing_that_is_to_stop_ends_between_two_pieces_and_the_next_one_lands_the_rest(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now_us = time.time_ns() // 1000
    insert_bare(mlflow_server, key, f"{key}-", 1200, now_us // 1000 - 120_000)
    source = MlflowSource.model_validate(
        {"kind": "mlflow", "tracking_uri": mlflow_server.uri, "experiments": [name]}
    )
    store = open_store(str(tmp_path))
    landed = store.table("traces")
    landing = MlflowLanding(source, store, stopping=lambda: landed.read(["trace_id"]).height > 0)
    with pytest.raises(Stopped):
        landing.land_through(now_us)
    assert 0 < landed.read(["trace_id"]).height < 1200
    MlflowLanding(source, store).land_through(now_us)
    assert landed.read(["trace_id"])["trace_id"].n_unique() == 1200

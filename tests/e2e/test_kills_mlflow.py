"""A live run on a real MLflow server that is killed at random moments, and one whose server goes away for a
while.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mlflow
import polars as pl
import pytest
import support.pandas_oracle as oracle
from support.command_line import MAIN, SPARK, tracesieve
from support.mlflow_traces import copy_traces, log_trace
from support.servers import MlflowServer, free_port, mlflow_server

from rules.units import SECOND_US
from store import net_facts, open_store
from store.windows import merge

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SEED = 20261125


def write_config(folder: Path, uri: str, experiment: str) -> Path:
    config = folder / "tracesieve.yaml"
    config.write_text(
        f"source: {{kind: mlflow, tracking_uri: '{uri}', experiments: [{experiment}]}}\nstore: st\n"
        f"mlflow: {{tracking_uri: '{uri}'}}\n" + SPARK
    )
    return config


@contextmanager
def live(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        run = subprocess.Popen([sys.executable, "-c", MAIN, "run", "-c", str(config)], stdout=out, stderr=out)
        try:
            yield run
        finally:
            if run.poll() is None:
                run.kill()
            run.wait(20)


def wait_for(
    what: str, holds: Callable[[], bool], run: subprocess.Popen[bytes], log: Path, seconds: float = 180
) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert run.poll() is None, f"the run ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"no {what} within {seconds} s: {log.read_text()[-3000:]}"
        time.sleep(0.3)


def facts_of(store: Path) -> pl.DataFrame:
    return net_facts(open_store(str(store)).table("facts").read())


def tagged(uri: str, key: str) -> int:
    return len(oracle.present_tags(oracle.traces(uri, {key: "support"}, spans=False)))


def sources(uri: str, key: str) -> int:
    """How many traces are named by the records of all datasets."""
    return sum(
        len(record[0])
        for records in oracle.present_records(uri, {key: "support"}).values()
        for record in records.values()
    )


def check_nothing_missing_nothing_twice(uri: str, key: str, name: str, store: Path) -> None:
    """Store and server hold every finished trace once: facts, windows, tags, records (SEMANTICS 28)."""
    frame = oracle.traces(uri, {key: name})
    facts = facts_of(store)
    assert sorted(facts["trace_id"]) == sorted(frame["trace_id"])
    weights = Counter(
        dict(
            open_store(str(store))
            .table("facts")
            .read()
            .group_by("trace_id")
            .agg(pl.col("weight").sum())
            .iter_rows()
        )
    )
    assert set(weights.values()) == {1}
    windows = merge(open_store(str(store)).table("windows").read()).filter(pl.col("rule_hash") == "")
    assert (windows["traces"].sum(), windows["errors"].sum()) == (len(frame), int(frame["error"].sum()))
    tags = oracle.present_tags(frame)
    evidence: dict[str, set[str]] = {
        trace: set(found["tracesieve.rules"].split(",")) & set(oracle.WINDOW_RULES)
        for trace, found in tags.items()
    }
    # Which traces a window rule picked depends on when they arrived: all else must be as the rules say.
    assert tags == oracle.wanted_tags(frame, evidence)
    assert oracle.present_records(uri, {key: name}) == oracle.wanted_records(frame, evidence)


@contextmanager
def sending(server: MlflowServer, key: str) -> Iterator[None]:
    """Three traces a second until the end of the block, one in four of them failed."""
    stop = threading.Event()

    def send() -> None:
        for number in range(100_000):
            if stop.wait(0.3):
                return
            failed, now = number % 4 == 0, time.time_ns() // 1000
            inputs = {"q": number if failed else "same"}
            log_trace(server, key, now, ms=200, error=failed, inputs=inputs)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def kill_at_random(config: Path, store: Path, log: Path, rng: random.Random) -> None:
    """Start a run and kill it: one in three during the start, the others among batches and deliveries."""

    def version() -> int:
        return open_store(str(store)).table("facts").version()

    with live(config, log) as run:
        before, starting = version(), rng.random() < 0.34
        if not starting:
            wait_for("batch", lambda: version() > before, run, log)
        after_s = rng.uniform(1, 8)
        print(f"seed {SEED}: killed {after_s:.2f} s after {'the command' if starting else 'a batch'}")
        time.sleep(after_s)
        assert run.poll() is None, log.read_text()[-3000:]
        run.send_signal(signal.SIGKILL)


@pytest.mark.long
def test_sem_28_killed_at_random_moments_nothing_is_missing_and_nothing_twice(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    config, rng = write_config(tmp_path, mlflow_server.uri, name), random.Random(SEED)
    with sending(mlflow_server, key):
        for _ in range(3):
            kill_at_random(config, tmp_path / "st", tmp_path / "log", rng)
    done = tracesieve("run", "--once", "-c", str(config), seconds=300)
    assert done.returncode == 0, done.stderr
    check_nothing_missing_nothing_twice(mlflow_server.uri, key, name, tmp_path / "st")


def test_sem_21_the_server_stops_and_comes_back_while_a_run_goes_on(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with ExitStack() as running:
        with mlflow_server(tmp_path, port) as server:
            key = mlflow.MlflowClient(server.uri).create_experiment("support")
            config = write_config(tmp_path, server.uri, "support")
            first = log_trace(
                server, key, time.time_ns() // 1000 - 30 * SECOND_US, error=True, inputs={"q": 0}
            )
            run = running.enter_context(live(config, log))
            wait_for("tag", lambda: tagged(server.uri, key) == 1, run, log)
            due = copy_traces(server, first, [time.time_ns() // 1000 - 5 * SECOND_US + i for i in range(20)])
            wait_for("fact", lambda: set(due) <= set(facts_of(tmp_path / "st")["trace_id"]), run, log)
        marked = len(log.read_text())  # the server is gone now, most deliveries of the last traces are due
        copy_traces(server, first, [time.time_ns() // 1000 + i for i in range(5)])
        wait_for("word of the outage", lambda: "failed, trying again" in log.read_text()[marked:], run, log)
        time.sleep(5)
        with mlflow_server(tmp_path, port):
            wait_for("tags", lambda: tagged(server.uri, key) == 26, run, log)
            wait_for("records", lambda: sources(server.uri, key) == 26, run, log)
            run.send_signal(signal.SIGTERM)
            assert run.wait(40) == 0, log.read_text()[-3000:]
            check_nothing_missing_nothing_twice(server.uri, key, "support", tmp_path / "st")
    logged = log.read_text()[marked:]
    assert "Traceback" not in logged
    assert "Retrying" not in logged
    assert len(logged.splitlines()) < 40, logged
    refused = open_store(str(tmp_path / "st")).table("deliveries").read().filter(pl.col("outcome") == "dead")
    assert refused.is_empty(), json.dumps(refused.to_dicts())

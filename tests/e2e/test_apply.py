"""``tracesieve apply`` as a person types it: over a Delta table, alone and beside a run; on MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.command_line import MAIN, SPARK, answer, tracesieve, write_table
from support.servers import MlflowServer

from store import open_store
from tests.e2e.test_run_once import log_traces, tagged, write_config

ONE = """version: 1
rules:
  - {id: slow, when: execution_time_ms > 5000, tag: slow_response}
"""
MORE = """version: 1
rules:
  - {id: slow, when: execution_time_ms > 50, tag: slow_response}
  - {id: bad, when: "status = 'ERROR'", tag: error_case}
  - {id: burst, where: "status = 'ERROR'", window: {size: 5m, by: []}, fire: traces > 3}
"""


def matches(config: Path) -> dict[str, int]:
    found: dict[str, int] = answer("report", "-c", str(config))["rules"]
    return found


def by_rule(document: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    names = ("before", "after", "gained", "lost")
    return {one["rule"]: tuple(one[name] for name in names) for one in document["rules"]}  # type: ignore[misc]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_table(tmp_path / "traces", 120)
    (tmp_path / "rules.yaml").write_text(ONE)
    file = tmp_path / "c.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\n"
        "alerts: {page_if_newer_than: 1h}\n" + SPARK
    )
    return file


def test_sem_31_rules_reach_what_is_counted_once_and_pages_nobody(config: Path) -> None:
    wrote = datetime.now(UTC)
    assert tracesieve("run", "--once", "-c", str(config)).returncode == 0
    assert matches(config) == {}
    config.with_name("rules.yaml").write_text(MORE)
    dry = answer("apply", "--dry-run", "-c", str(config))
    assert matches(config) == {}
    expected = {"slow": (0, 120, 120, 0), "bad": (0, 30, 30, 0), "burst": (0, 30, 30, 0)}
    assert by_rule(dry) == expected
    middle = (wrote - timedelta(minutes=5)).isoformat()
    only = answer("apply", "--rule", "bad", "--from", middle, "-c", str(config))
    part = by_rule(only)["bad"][1]
    assert 0 < part < 30
    assert matches(config) == {"bad": part}
    done = tracesieve("apply", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert "120 counted traces" in done.stderr
    assert "120 of 120 traces changed" in done.stdout
    assert matches(config) == {"bad": 30, "slow": 120}
    store = open_store(str(config.with_name("st")), create=False)
    assert "firing" in store.table("verdicts").read()["state"].to_list()
    assert store.table("notifications").read()["paged"].sum() == 0
    again = answer("apply", "-c", str(config))
    assert (again["traces"], again["changed"]) == (120, 0)
    assert by_rule(again)["bad"] == (30, 30, 0, 0)


def test_sem_31_a_run_that_goes_on_does_it_when_asked(config: Path) -> None:
    log = config.with_name("log")
    with log.open("w") as stderr:
        run = subprocess.Popen([sys.executable, "-c", MAIN, "run", "-c", str(config)], stderr=stderr)
    try:
        wait_for(log, "watching", run)
        while not matches_of_traces(config):
            time.sleep(1)
        config.with_name("rules.yaml").write_text(MORE)
        wait_for(log, "tracesieve apply -c", run)
        found = answer("apply", "-c", str(config))
        assert by_rule(found)["bad"] == (0, 30, 30, 0)
        assert matches(config) == {"bad": 30, "slow": 120}
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait(40) == 0
    finally:
        if run.poll() is None:
            run.kill()
            run.wait(10)


def matches_of_traces(config: Path) -> int:
    found: int = answer("report", "-c", str(config))["traces"]
    return found


def wait_for(log: Path, text: str, run: subprocess.Popen[bytes], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while text not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.3)


def test_options_that_make_no_sense_are_mistakes_of_the_user(config: Path) -> None:
    for options in (["--rule", "none"], ["--last", "5m", "--to", "2026-01-01"], ["--last", "soon"]):
        done = tracesieve("apply", *options, "-c", str(config))
        assert done.returncode == 2, done.stderr


@pytest.mark.e2e
def test_sem_22_31_what_undo_took_back_comes_back_by_apply(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    number, name = experiment
    log_traces(mlflow_server, number, 8, failing=3)
    config = write_config(tmp_path, mlflow_server, name)
    assert tracesieve("run", "--once", "-c", str(config)).returncode == 0
    before = tagged(mlflow_server, number)
    assert len(before) == 3
    assert json.loads(tracesieve("undo", "-c", str(config), "--json").stdout)["withdrawn"] >= 3
    assert tagged(mlflow_server, number) == {}
    found = answer("apply", "-c", str(config))
    assert (found["traces"], found["changed"], found["waiting"]) == (8, 0, 0)
    assert tagged(mlflow_server, number) == before

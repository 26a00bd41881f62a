"""``tracesieve run`` as a person starts it: once over a Delta table, once and for good against a real MLflow
server.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.command_line import MAIN, SPARK, answer, tracesieve, write_table
from support.servers import MlflowServer

from store import open_store
from store.schemas import TABLES


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAIN, *arguments], stderr=subprocess.PIPE, text=True)


def versions(store: Path) -> dict[str, int]:
    opened = open_store(str(store), create=False)
    # The instant that was evaluated last is kept in an empty commit of `verdicts`, one a minute.
    return {name: opened.table(name).version() for name in TABLES if name != "verdicts"}


def test_sem_26_once_over_a_delta_table_alerts_and_writes_nothing_the_second_time(tmp_path: Path) -> None:
    write_table(tmp_path / "traces", 120)
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: traces}\nstore: st\n" + SPARK)
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    report = answer("report", "-c", str(config))
    assert (report["traces"], report["errors"]) == (120, 30)
    alerts = answer("alerts", "list", "-c", str(config))["alerts"]
    assert [(alert["rule"], alert["status"]) for alert in alerts] == [("error-rate-high", "firing")]
    assert alerts[0]["evidence"]
    explained = answer("explain", "tr-0", "-c", str(config))
    assert {rule["rule"]: rule["matched"] for rule in explained["rules"]}["error-traces"] is True
    before = versions(tmp_path / "st")
    again = tracesieve("run", "--once", "-c", str(config))
    assert again.returncode == 0, again.stderr
    assert versions(tmp_path / "st") == before


def log_traces(server: MlflowServer, experiment_id: str, number: int, failing: int) -> list[str]:
    code = f"""
import mlflow
mlflow.set_tracking_uri({server.uri!r})
mlflow.set_experiment(experiment_id={experiment_id!r})
@mlflow.trace(name="agent")
def ask(i):
    if i < {failing}:
        raise ValueError("the tool is down")
    return "fine"
for i in range({number}):
    try:
        ask(i)
    except ValueError:
        pass
mlflow.flush_trace_async_logging()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    return [t.info.trace_id for t in client(server).search_traces(locations=[experiment_id], max_results=100)]


def client(server: MlflowServer) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(server.uri)


def tagged(server: MlflowServer, experiment_id: str) -> dict[str, str]:
    found = client(server).search_traces(locations=[experiment_id], max_results=100)
    return {t.info.trace_id: t.info.tags["eval_candidate"] for t in found if "eval_candidate" in t.info.tags}


def write_config(folder: Path, server: MlflowServer, name: str) -> Path:
    config = folder / "c.yaml"
    config.write_text(
        f"source: {{kind: mlflow, tracking_uri: '{server.uri}', experiments: [{name}]}}\nstore: st\n"
        f"mlflow: {{tracking_uri: '{server.uri}'}}\n" + SPARK
    )
    return config


def own_rule(folder: Path, config: Path, tag: str) -> None:
    """A rule of the user beside the default pack, which has a critical rule for the same traces."""
    rule = f"{{id: refund-late, when: status = 'ERROR', tag: {tag}, severity: critical}}"
    (folder / "mine.yaml").write_text(f"version: 1\nrules:\n  - {rule}\n")
    if "mine.yaml" not in config.read_text():
        config.write_text(config.read_text() + "rules: [packs/default, mine.yaml]\n")


def found_by(server: MlflowServer, experiment_id: str, category: str) -> int:
    text = f"tags.`tracesieve.category.{category}` LIKE '%'"
    return len(client(server).search_traces(locations=[experiment_id], filter_string=text))


def issues(server: MlflowServer, experiment_id: str) -> list[tuple[str, str, set[str]]]:
    """The name and status of each issue, and the traces that are linked to it."""
    found = []
    for one in client(server)._tracing_client.store.search_issues(experiment_id):
        linked = client(server).search_traces(
            locations=[experiment_id], filter_string=f"issue.id = '{one.issue_id}'"
        )
        found.append((one.name, str(one.status), {trace.info.trace_id for trace in linked}))
    return found


def numbers(rows: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    names = ("matched", "tagged", "in_set", "records")
    return {row["category"]: tuple(row[name] for name in names) for row in rows}


@pytest.mark.e2e
def test_sem_22_33_every_category_is_found_also_behind_another_and_goes_with_its_rule(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    number, name = experiment
    failed = set(log_traces(mlflow_server, number, 5, failing=3)[-3:])
    config = write_config(tmp_path, mlflow_server, name)
    own_rule(tmp_path, config, "refund_error")
    config.write_text(
        config.read_text().replace(mlflow_server.uri + "'}\n", mlflow_server.uri + "', issues: true}\n")
    )
    done = answer("run", "--once", "-c", str(config))
    both = {"error_case": (3, 3, 3, 3), "refund_error": (3, 3, 3, 3)}
    assert numbers(done["categories"]) == both
    assert set(tagged(mlflow_server, number).values()) == {"refund_error"}
    found = {category: found_by(mlflow_server, number, category) for category in both}
    assert found == {"error_case": 3, "refund_error": 3}
    assert issues(mlflow_server, number) == [("agent: ValueError: the tool is down", "pending", failed)]

    labelled = sorted(failed)[0]
    client(mlflow_server).set_trace_tag(labelled, "eval_candidate", "golden")
    own_rule(tmp_path, config, "refund_slow")
    assert tracesieve("run", "--once", "-c", str(config)).returncode == 0  # the label and the rule are read
    assert tracesieve("apply", "-c", str(config)).returncode == 0
    report = answer("report", "-c", str(config))
    assert numbers(report["categories"]) == {
        "error_case": (3, 3, 3, 3),
        "refund_slow": (3, 3, 3, 3),
        "golden": (1, 1, 1, 1),
    }
    assert report["candidates"] == {"golden": 1, "refund_slow": 2}
    assert found_by(mlflow_server, number, "refund_error") == 0
    assert found_by(mlflow_server, number, "refund_slow") == 3
    assert issues(mlflow_server, number) == [("agent: ValueError: the tool is down", "pending", failed)]
    assert answer("undo", "-c", str(config))["plan"]["issues"] == 1
    assert issues(mlflow_server, number) == [("Withdrawn by tracesieve", "rejected", set())]
    tags = [one.info.tags for one in client(mlflow_server).search_traces(locations=[number], max_results=100)]
    assert {key for found in tags for key in found if key.startswith("tracesieve.")} == set()
    assert tagged(mlflow_server, number) == {labelled: "golden"}


@pytest.mark.e2e
def test_sem_22_26_once_against_mlflow_tags_then_nothing_then_undo(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    number, name = experiment
    log_traces(mlflow_server, number, 8, failing=3)
    config = write_config(tmp_path, mlflow_server, name)
    dry = tracesieve("run", "--once", "--dry-run", "-c", str(config))
    assert dry.returncode == 0, dry.stderr
    assert tagged(mlflow_server, number) == {}
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert sorted(tagged(mlflow_server, number).values()) == ["error_case"] * 3
    before = versions(tmp_path / "st")
    again = tracesieve("run", "--once", "-c", str(config))
    assert again.returncode == 0, again.stderr
    after = versions(tmp_path / "st")
    assert {name: after[name] for name in ("traces", "facts", "outbox", "deliveries")} == {
        name: before[name] for name in ("traces", "facts", "outbox", "deliveries")
    }
    undone = answer("undo", "-c", str(config))
    assert undone["withdrawn"] >= 3
    assert tagged(mlflow_server, number) == {}


@pytest.mark.e2e
def test_the_log_of_a_run_has_its_stages_and_what_is_left_out(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, name = experiment
    log_traces(mlflow_server, number, 6, failing=2)
    config = write_config(tmp_path, mlflow_server, name)
    monkeypatch.setenv("TRACESIEVE_LOG__LEVEL", "debug")
    done = tracesieve("run", "--once", "--json", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["traces"] == 6
    for stages in (
        r"landing: 6 traces landed, 0 of them again, \d+ known; list \d+ ms, fetch \d+ ms, convert \d+ ms",
        r"batch 0: 6 rows; begin \d+ ms, read_and_match \d+ ms",
        r"mlflow_tags: 2 of 2 messages settled, 0 put off; read \d+ ms, deliver \d+ ms, acknowledge \d+ ms",
    ):
        assert re.search(stages, done.stderr), done.stderr
    assert "the tool is down" not in done.stderr and "left out" not in done.stderr
    monkeypatch.setenv("TRACESIEVE_STORE", "other")
    monkeypatch.setenv("TRACESIEVE_SOURCE__START", "now")
    monkeypatch.setenv("TRACESIEVE_LOG__LEVEL", "info")
    late = tracesieve("run", "--once", "-c", str(config))
    assert late.returncode == 0, late.stderr
    assert re.search(
        r"left out: 6 traces that began before .* UTC \(`source.start: now`; an earlier one takes them\)",
        late.stderr,
    )
    again = tracesieve("run", "--once", "-c", str(config))
    assert again.returncode == 0 and "left out" not in again.stderr


@pytest.mark.e2e
def test_sem_25_live_tags_a_new_trace_survives_a_kill_and_ends_on_sigterm(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    number, name = experiment
    config = write_config(tmp_path, mlflow_server, name)
    for end in (signal.SIGKILL, signal.SIGTERM):
        run = started("run", "-c", str(config))
        try:
            before = len(tagged(mlflow_server, number))
            log_traces(mlflow_server, number, 2, failing=1)
            deadline = time.monotonic() + 90
            while len(tagged(mlflow_server, number)) == before:
                assert run.poll() is None, run.stderr.read() if run.stderr else ""
                assert time.monotonic() < deadline, "no tag within 90 s"
                time.sleep(0.5)
            second = tracesieve("run", "--once", "-c", str(config))
            assert second.returncode == 3
            assert str(run.pid) in second.stderr
            os.kill(run.pid, end)
            assert run.wait(30) == (0 if end == signal.SIGTERM else -signal.SIGKILL)
        finally:
            if run.poll() is None:
                run.kill()
                run.wait(10)
    assert len(tagged(mlflow_server, number)) == 2

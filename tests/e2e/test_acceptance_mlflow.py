"""The main job on a real MLflow server full of awkward traces, against what a notebook with pandas says."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import support.pandas_oracle as oracle
from support.awkward_traffic import Traffic, first_traffic, later_traffic
from support.command_line import answer, tracesieve
from support.mlflow_traces import delete_trace
from support.recording_proxy import Recording, recording_proxy
from support.servers import MlflowServer, mlflow_server

from rules.units import DAY_US, MINUTE_US, SECOND_US

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
FEEDBACK_RULE = """
version: 1
rules:
  - {id: thumbs-down, when: "feedback.correct = 'false'", tag: thumbs_down, severity: info}
"""


def run_once(config: Path) -> None:
    done = tracesieve("run", "--once", "-c", str(config), seconds=500)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def contents(server: MlflowServer) -> dict[str, list[Any]]:
    """Every row of the server's database, by table."""
    with sqlite3.connect(server.database, timeout=60) as base:
        names = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(repr, base.execute(f"SELECT * FROM {name}"))) for name in names}


def write_config(folder: Path, recording: Recording, experiments: list[str]) -> Path:
    config = folder / "tracesieve.yaml"
    (folder / "feedback.yaml").write_text(FEEDBACK_RULE)
    config.write_text(
        f"source: {{kind: mlflow, tracking_uri: '{recording.uri}', "
        f"experiments: {json.dumps(experiments)}, start: earliest}}\n"
        "store: st\nrules: [packs/default, feedback.yaml]\nmlflow: "
        f"{{tracking_uri: '{recording.uri}'}}\nmetrics: null\n"
        "spark: {master: 'local[2]', memory: 1g}\n"
    )
    return config


def report(config: Path, from_us: int, to_us: int) -> dict[str, Any]:
    def iso(time_us: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_us // SECOND_US))

    return answer("report", "-c", str(config), "--from", iso(from_us), "--to", iso(to_us))


def check_report(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key in ("traces", "errors", "rules", "candidates"):
        assert found[key] == wanted[key], key
    groups = {(one["group"]["experiment"], one["group"]["trace_name"]): [0, 0] for one in found["groups"]}
    for one in found["groups"]:
        numbers = groups[one["group"]["experiment"], one["group"]["trace_name"]]
        numbers[0] += one["traces"]
        numbers[1] += one["errors"]
    assert {key: tuple(numbers) for key, numbers in groups.items()} == wanted["groups"]
    assert found["tokens"]["total"] == wanted["tokens"]
    assert found["cost_usd"] == pytest.approx(wanted["cost_usd"], abs=1e-6)
    durations = wanted["durations"]
    for name, q in (("p50_ms", 0.50), ("p95_ms", 0.95)):
        near = [
            durations[min(max(round(len(durations) * (q + d)) - 1, 0), len(durations) - 1)]
            for d in (-0.01, 0, 0.01)
        ]
        assert min(near) * 0.99 <= found[name] <= max(near) * 1.01, name


def check_everything(traffic: Traffic, config: Path, recording: Recording) -> None:
    experiments = traffic.experiments()
    frame = oracle.traces(traffic.server.uri, experiments)
    through_ms = int(time.time() * 1000)
    known = frame[frame["end"] < through_ms]
    picked = oracle.evidence(known, through_ms - 2 * 86_400_000, traffic.now // 1000)
    assert {rule for rules in picked.values() for rule in rules} == set(oracle.WINDOW_RULES)
    wanted = oracle.wanted_tags(frame, picked)
    assert oracle.present_tags(frame) == wanted
    assert (
        wanted[traffic.tomorrow]["eval_candidate"]
        == wanted[traffic.wrong_clock[0]]["eval_candidate"]
        == "error_case"
    )
    assert wanted[traffic.praised]["eval_candidate"] == "thumbs_down"
    assert oracle.present_records(traffic.server.uri, experiments) == oracle.wanted_records(frame, picked)
    # Whole minutes before the traces with wrong clocks; then all that there is, the future held back.
    burst = oracle.traces(traffic.server.uri, {traffic.burst: "burst"}, spans=False)
    assert len(burst) == 5000
    both = oracle.pd.concat([frame, burst], ignore_index=True)
    to_us = traffic.now // MINUTE_US * MINUTE_US
    check_report(
        report(config, to_us - 20 * DAY_US, to_us),
        oracle.report(both, to_us / 1000 - 20 * 86_400_000, to_us / 1000, picked),
    )
    held = report(config, to_us - 20 * DAY_US, to_us + 3 * DAY_US)
    minute_ms = int(time.time() // 60 + 1) * 60_000
    ahead = both[both["end"] >= minute_ms]
    assert traffic.tomorrow in set(ahead["trace_id"])
    assert held["traces"] == len(both) - len(ahead)
    assert held["freshness"]["in_progress"] == 1
    assert held["freshness"]["left_out"] == 1


def test_sem_05_11_26_28_equal_to_pandas_and_the_second_run_writes_nothing(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as server, recording_proxy(server.uri) as recording:
        demo = [sys.executable, "-m", "mlflow", "demo", "--no-browser", "--tracking-uri", server.uri]
        with subprocess.Popen(demo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as filling:
            traffic = first_traffic(server)

            def delete_once(_path: str, body: bytes) -> None:
                if traffic.doomed.encode() in body:
                    recording.on_answer = lambda *_: None
                    delete_trace(server, traffic.support, traffic.doomed)

            recording.on_answer = delete_once
            run_once(write_config(tmp_path, recording, ["support", "burst"]))
            assert filling.wait(180) == 0
        later_traffic(traffic)
        # The demo's experiment is new to the monitor: it is read from its beginning.
        config = write_config(tmp_path, recording, ["support", "burst", "MLflow Demo"])
        run_once(config)
        assert recording.writes()
        check_everything(traffic, config, recording)

        before = contents(server)
        recording.calls.clear()
        run_once(config)
        assert recording.calls, "the run did not go through the proxy"
        assert recording.writes() == []
        assert contents(server) == before

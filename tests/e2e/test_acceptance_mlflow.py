"""The main job on a real MLflow server full of awkward traces, against what a notebook with pandas says."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytest
import support.pandas_oracle as oracle
from support.mlflow_traces import (
    HOUR,
    MINUTE,
    SECOND,
    copy_traces,
    delete_trace,
    insert_bare,
    log_trace,
    send_span,
)
from support.recording_proxy import Recording, recording_proxy
from support.servers import MlflowServer, mlflow_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
MAIN = "from tracesieve.cli import main; main()"
DAY = 24 * HOUR
FEEDBACK_RULE = """
version: 1
rules:
  - {id: thumbs-down, when: "feedback.correct = 'false'", tag: thumbs_down, severity: info}
"""


def tracesieve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, timeout=500
    )


def run_once(config: Path) -> None:
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@dataclass
class World:
    """The server and the traces that a test will touch again."""

    server: MlflowServer
    now: int
    support: str = ""
    burst: str = ""
    doomed: str = ""
    praised: str = ""
    tomorrow: str = ""
    otlp: bytes = b""
    otlp_root: bytes = b""
    wrong_clock: list[str] = field(default_factory=list)

    def experiments(self) -> dict[str, str]:
        return {
            self.support: "support",
            mlflow.MlflowClient(self.server.uri)
            .get_experiment_by_name("MLflow Demo")
            .experiment_id: "MLflow Demo",
        }


def fill(server: MlflowServer) -> World:
    """An hour and a half of traffic with two incidents, and everything that is odd about real traces."""
    world = World(server, time.time_ns() // 1000)
    client, now = mlflow.MlflowClient(server.uri), world.now
    world.support, world.burst = client.create_experiment("support"), client.create_experiment("burst")

    def log(end_us: int, **how: Any) -> str:
        return log_trace(server, world.support, end_us, **how)

    fine = log(
        now - 100 * MINUTE, spans=(("CHAT_MODEL", False, "hello"), ("TOOL", False, "found")), tokens=(300, 40)
    )
    failed = log(now - 99 * MINUTE, error=True, inputs={"q": "where is my order?"}, outputs=None)
    slow = log(now - 98 * MINUTE, ms=9_500, inputs={"q": "compare everything"})
    copy_traces(server, fine, [now - 95 * MINUTE + i * 30 * SECOND for i in range(160)])
    copy_traces(server, failed, [now - 20 * MINUTE + i * 11 * SECOND for i in range(50)])  # an endpoint fails
    copy_traces(
        server, slow, [now - 70 * MINUTE + i * 17 * SECOND for i in range(40)]
    )  # a retriever slows down
    log(now - 50 * MINUTE, ms=12_000, inputs={"q": "slow"})
    log(now - 49 * MINUTE, spans=(("TOOL", True, None),), inputs={"q": "a tool fails, the answer is fine"})
    log(now - 48 * MINUTE, spans=[("TOOL", False, i) for i in range(11)], inputs={"q": "a loop"})
    log(now - 47 * MINUTE, spans=(("RETRIEVER", False, []),), inputs={"q": "nothing found"})
    log(
        now - 46 * MINUTE,
        spans=(("CHAT_MODEL", False, "…"),),
        tokens=(21_000, 10),
        inputs={"q": "a long prompt"},
    )
    log(now - 45 * MINUTE, spans=(), name="bare", inputs=[1, 2])
    log(
        now - 2 * MINUTE, ms=40 * 60_000, inputs={"q": "long"}
    )  # began before most of the others, ended after them
    log(now - 3 * DAY, error=True, inputs={"q": "long ago"})
    world.doomed = log(now - 44 * MINUTE, error=True, inputs={"q": "deleted while being listed"})
    world.praised = log(now - 43 * MINUTE, inputs={"q": "gets feedback later"})
    world.wrong_clock = [
        log(now + 5 * MINUTE, error=True, inputs={"q": "ahead"}),
        log(now - 5 * MINUTE, inputs={"q": "behind"}),
    ]
    world.tomorrow = log(now + DAY, error=True, inputs={"q": "tomorrow"})
    judged = log(now - 42 * MINUTE, error=True, inputs={"q": "an evaluation run"})
    with sqlite3.connect(server.database, timeout=60) as base:
        base.execute(
            "INSERT INTO trace_request_metadata (request_id, key, value) VALUES (?, 'mlflow.sourceRun', "
            "'r1')",
            [judged],
        )
    insert_bare(server, world.support, "open", 1, now // 1000 - 60_000, "IN_PROGRESS")
    insert_bare(server, world.burst, "burst", 5000, (now - 30 * MINUTE) // 1000)
    world.otlp, world.otlp_root = secrets.token_bytes(16), secrets.token_bytes(8)
    send_span(
        server,
        world.support,
        world.otlp,
        world.otlp_root,
        b"",
        now - 41 * MINUTE,
        now - 41 * MINUTE + 3 * SECOND,
    )
    return world


def happen_later(world: World) -> None:
    """What arrives only after the first run."""
    start = world.now - 41 * MINUTE
    send_span(
        world.server,
        world.support,
        world.otlp,
        secrets.token_bytes(8),
        world.otlp_root,
        start,
        start + 12 * SECOND,
    )
    mlflow.set_tracking_uri(world.server.uri)
    mlflow.log_feedback(trace_id=world.praised, name="correct", value=False)
    log_trace(
        world.server,
        world.support,
        world.now - 60 * MINUTE,
        error=True,
        inputs={"q": "exported an hour after its end"},
    )


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


def told(config: Path, from_us: int, to_us: int) -> dict[str, Any]:
    def iso(time_us: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_us // SECOND))

    done = tracesieve("report", "-c", str(config), "--from", iso(from_us), "--to", iso(to_us), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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


def check_everything(world: World, config: Path, recording: Recording) -> None:
    experiments = world.experiments()
    frame = oracle.traces(world.server.uri, experiments)
    through_ms = int(time.time() * 1000)
    known = frame[frame["end"] < through_ms]
    picked = oracle.evidence(known, through_ms - 2 * 86_400_000, world.now // 1000)
    assert {rule for rules in picked.values() for rule in rules} == set(oracle.WINDOW_RULES)
    wanted = oracle.wanted_tags(frame, picked)
    assert oracle.present_tags(frame) == wanted
    assert (
        wanted[world.tomorrow]["eval_candidate"]
        == wanted[world.wrong_clock[0]]["eval_candidate"]
        == "error_case"
    )
    assert wanted[world.praised]["eval_candidate"] == "thumbs_down"
    assert oracle.present_records(world.server.uri, experiments) == oracle.wanted_records(frame, picked)
    # Whole minutes before the traces with wrong clocks; then all that there is, the future held back.
    burst = oracle.traces(world.server.uri, {world.burst: "burst"}, spans=False)
    assert len(burst) == 5000
    both = oracle.pd.concat([frame, burst], ignore_index=True)
    to_us = world.now // MINUTE * MINUTE
    check_report(
        told(config, to_us - 20 * DAY, to_us),
        oracle.report(both, to_us / 1000 - 20 * 86_400_000, to_us / 1000, picked),
    )
    held = told(config, to_us - 20 * DAY, to_us + 3 * DAY)
    minute_ms = int(time.time() // 60 + 1) * 60_000
    ahead = both[both["end"] >= minute_ms]
    assert world.tomorrow in set(ahead["trace_id"])
    assert held["traces"] == len(both) - len(ahead)
    assert held["freshness"]["in_progress"] == 1
    assert held["freshness"]["left_out"] == 1


def test_sem_05_11_26_28_equal_to_pandas_and_the_second_run_writes_nothing(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as server, recording_proxy(server.uri) as recording:
        demo = [sys.executable, "-m", "mlflow", "demo", "--no-browser", "--tracking-uri", server.uri]
        with subprocess.Popen(demo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as filling:
            world = fill(server)

            def delete_once(_path: str, body: bytes) -> None:
                if world.doomed.encode() in body:
                    recording.on_answer = lambda *_: None
                    delete_trace(server, world.support, world.doomed)

            recording.on_answer = delete_once
            run_once(write_config(tmp_path, recording, ["support", "burst"]))
            assert filling.wait(180) == 0
        happen_later(world)
        # The demo's experiment is new to the monitor: it is read from its beginning.
        config = write_config(tmp_path, recording, ["support", "burst", "MLflow Demo"])
        run_once(config)
        assert recording.writes()
        check_everything(world, config, recording)

        before = contents(server)
        recording.calls.clear()
        run_once(config)
        assert recording.calls, "the run did not go through the proxy"
        assert recording.writes() == []
        assert contents(server) == before

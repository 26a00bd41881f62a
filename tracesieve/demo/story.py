"""The demo's story: start a server, tell it of an hour with an incident at its end, watch it, and say what was found."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tracesieve.demo.agent import Agent, Incident, plan
from tracesieve.errors import OutsideError

EXPERIMENT = "support-agent"
HISTORY, HISTORY_S, INCIDENT_S = 300, 1500, 600
CONFIG = """source: {{kind: mlflow, tracking_uri: "{uri}", experiments: [{name}], start: -24h}}
store: store
rules: [packs/default]
mlflow: {{tracking_uri: "{uri}"}}
metrics: {{listen: "127.0.0.1:{port}"}}
evaluate_after: 5s
"""


@dataclass
class Stage:
    """Where the parts of a running demo are."""

    folder: Path
    uri: str
    metrics_url: str
    monitor: subprocess.Popen[bytes]
    began: float


@contextmanager
def stage() -> Iterator[Stage]:
    """A real MLflow server with the agent's history and live traffic, and the monitor as a process of its own."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracesieve-demo-", ignore_cleanup_errors=True)))
        uri = f"http://127.0.0.1:{_free_port()}"
        server = _start(folder, "mlflow", [*_python("mlflow"), "server", "--host", "127.0.0.1", "--port", uri.rpartition(":")[2],
                                           "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                                           "--artifacts-destination", str(folder / "artifacts")])  # fmt: skip
        stack.callback(_stop, server)
        _wait_for(uri + "/health", server, folder / "mlflow.log")
        agent, incident = _experiment(uri), Incident(time.time() - INCIDENT_S, time.time() + 900)
        port = _free_port()
        (folder / "tracesieve.yaml").write_text(CONFIG.format(uri=uri, name=EXPERIMENT, port=port), encoding="utf-8")
        command = [*_python("tracesieve.cli"), "run", "-c", str(folder / "tracesieve.yaml")]
        _tell_history(agent, incident)
        monitor = _start(folder, "monitor", command)
        stack.callback(_stop, monitor)
        stop = threading.Event()
        stack.callback(stop.set)
        threading.Thread(target=_live, args=(agent, incident, stop), daemon=True).start()
        yield Stage(folder, uri, f"http://127.0.0.1:{port}/metrics", monitor, began)


def seen(stage_: Stage) -> dict[str, Any]:
    """What the store says now: the last half hour, alerts, delivered tags."""
    from store import StoreError, open_store
    from store.report import report

    try:
        store = open_store(str(stage_.folder / "store"), create=False)
    except StoreError:
        return {"report": None, "alerts": [], "tagged": 0, "records": 0}
    now = time.time_ns() // 1000
    deliveries = store.table("deliveries").read(["sink", "target", "outcome"])
    tagged = deliveries.filter((pl.col("sink") == "mlflow_tags") & (pl.col("outcome") == "delivered"))["target"].n_unique()
    return {
        "report": report(store, now - 1_800_000_000, now, [], now),
        "alerts": store.table("notifications").read().sort("said_us").to_dicts(),
        "tagged": tagged,
        "records": store.table("records").read(["dataset", "record"]).unique().height,
    }


def _experiment(uri: str) -> Agent:
    import mlflow

    # Export in this process and at once: the demo's traces are back-dated, and no trace may be lost when it ends.
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    mlflow.set_tracking_uri(uri)
    return Agent(mlflow.set_experiment(EXPERIMENT).experiment_id)


def _tell_history(agent: Agent, incident: Incident) -> None:
    rng, now = random.Random(7), time.time()  # noqa: S311 - a story, not a secret
    calls = [plan(rng, now - HISTORY_S + i * HISTORY_S / HISTORY, incident) for i in range(HISTORY)]
    past = [call for call in calls if call.at_s + call.duration_s < now]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(agent.log, past))


def _live(agent: Agent, incident: Incident, stop: threading.Event) -> None:
    rng = random.Random(11)  # noqa: S311
    while not stop.wait(1.0):
        call = plan(rng, time.time() - 15, incident)
        agent.log(call)


def _python(module: str) -> list[str]:
    entry = {"mlflow": "from mlflow.cli import cli as main", "tracesieve.cli": "from tracesieve.cli import main"}[module]
    return [sys.executable, "-c", f"{entry}; main()"]


def _start(folder: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": "", "GIT_PYTHON_REFRESH": "quiet"}
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)  # noqa: S603


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the server's own workers


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.3)
    raise OutsideError(f"the MLflow server did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

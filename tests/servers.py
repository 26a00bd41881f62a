"""Starting real outside servers for tests: each on a free port of 127.0.0.1, ended by its own process group."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def needs(*names: str) -> str:
    """The path of a program that a test cannot do without, by any of its names.

    Where it is missing the test is skipped with the reason on a laptop, and fails in CI (``CI=true``).
    """
    import pytest

    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        reason = f"{names[0]} is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class MlflowServer:
    """A running ``mlflow server``; ``database`` is its sqlite file."""

    uri: str
    database: Path


@contextmanager
def process(command: list[str], ready_url: str, log: Path, seconds: float = 120) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready when ``ready_url`` answers."""
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=environment)
        try:
            end = time.monotonic() + seconds
            while True:
                try:
                    urllib.request.urlopen(ready_url, timeout=2).close()
                    break
                except OSError as error:
                    if running.poll() is not None or time.monotonic() > end:
                        raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}") from error
                    time.sleep(0.2)
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGTERM)
                try:
                    running.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(running.pid, signal.SIGKILL)
                    running.wait(15)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """A tracking server on sqlite in ``folder``, one worker."""
    port, database = free_port(), folder / "mlflow.db"
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts")]
    with process(command, f"{uri}/health", folder / "mlflow.log"):
        yield MlflowServer(uri, database)

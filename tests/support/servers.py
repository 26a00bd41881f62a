"""Starting real outside servers for tests: each on a free port of 127.0.0.1, ended by its own process
group.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
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
def process(
    command: list[str], ready_url: str, log: Path, seconds: float = 120, ca: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready when ``ready_url`` answers, be it that a login is
    needed.
    """
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=environment)
        try:
            end = time.monotonic() + seconds
            while True:
                try:
                    context = ssl.create_default_context(cafile=ca) if ca else None
                    urllib.request.urlopen(ready_url, timeout=2, context=context).close()
                    break
                except OSError as error:
                    if getattr(error, "code", None) == 401:
                        break
                    if running.poll() is not None or time.monotonic() > end:
                        raise RuntimeError(
                            f"{command[0]} did not start: {log.read_text()[-2000:]}"
                        ) from error
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
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[MlflowServer]:
    """A tracking server on sqlite in ``folder``, one worker; what an earlier one left there is served
    again.
    """
    port, database = port or free_port(), folder / "mlflow.db"
    uri = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with process(command, f"{uri}/health", folder / "mlflow.log"):
        yield MlflowServer(uri, database)


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = [
        needs("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


# bcrypt of PASSWORD, as Prometheus's own servers want it in their web config
PASSWORD, _HASHED = "test-password", "$2b$04$abcdefghijklmnopqrstuuobFaEJANklW4I6zZpcLRbXjrME4Qa2m"


@contextmanager
def alertmanager(
    folder: Path,
    port: int | None = None,
    certificate: tuple[str, str] | None = None,
    webhook: str | None = None,
    group_wait: str = "1s",
) -> Iterator[str]:
    """A real Alertmanager, which notifies ``webhook``, a new group of alerts after ``group_wait``.

    With a certificate it speaks TLS and asks for the user ``prom`` with :data:`PASSWORD`.
    """
    program, port = needs("prometheus-alertmanager", "alertmanager"), port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config, web = folder / "alertmanager.yml", folder / "web.yml"
    hooks = f", webhook_configs: [{{url: '{webhook}', send_resolved: true}}]" if webhook else ""
    route = f"{{receiver: test, group_by: [alertname], group_wait: {group_wait}, group_interval: 1s}}"
    config.write_text(f"route: {route}\nreceivers: [{{name: test{hooks}}}]\n")
    uri = f"http{'s' if certificate else ''}://127.0.0.1:{port}"
    command = [program, f"--config.file={config}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    if certificate:
        cert, key = certificate
        web.write_text(
            f"tls_server_config: {{cert_file: {cert}, key_file: {key}}}\nbasic_auth_users: "
            f"{{prom: {_HASHED}}}\n"
        )
        command.append(f"--web.config.file={web}")
    with process(command, f"{uri}/-/ready", folder / "log", ca=certificate[0] if certificate else None):
        yield uri


@contextmanager
def prometheus(folder: Path, scrape: str) -> Iterator[str]:
    """A real Prometheus with exemplars; ``scrape`` is the one scrape config, as YAML in one line."""
    program, port = needs("prometheus"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{scrape}]\n")
    uri = f"http://127.0.0.1:{port}"
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
    with process(command, f"{uri}/-/ready", folder / "log"):
        yield uri

"""The demo's stage: a real MLflow server, the agent's traffic and the monitor, each a process.

All start at once, and do their slow imports and Spark's start while they wait for each other: the agent for
the server, the monitor for the experiment. Whatever ends the demo, all three and their children are gone when
:func:`stage` is left.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tracesieve.demo import EXPERIMENT
from tracesieve.errors import OutsideError

_GRACE_S = 30.0
_QUIET = {"MLFLOW_TRACKING_URI": "", "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Without its eight job runners, which the demo has no use for, the server is up in half the time.
_SERVER = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
# A JVM that lives for a minute spends more on its second compiler and on parallel collection than they save.
_MONITOR = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
_CONFIG = """source: {{kind: mlflow, tracking_uri: "{uri}", experiments: [{name}], start: -24h}}
store: store
rules: [packs/default]
mlflow: {{tracking_uri: "{uri}"}}
metrics: {{listen: "127.0.0.1:{port}"}}
evaluate_after: 5s
"""


@dataclass
class Stage:
    """Where the parts of a running demo are; ``parts`` are its processes by name."""

    folder: Path
    uri: str
    metrics_url: str
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The monitor's config: every command of tracesieve can be tried on it while the demo runs."""
        return self.folder / "tracesieve.yaml"

    def check(self) -> None:
        """See whether all parts still run.

        Raises:
            OutsideError: one has ended; the message holds the end of its log.
        """
        for name, part in self.parts.items():
            if (code := part.poll()) is not None:
                log = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise OutsideError(f"the demo's {name} ended with {code}:\n{log[-3000:]}")


@contextmanager
def stage() -> Iterator[Stage]:
    """Start everything in a folder of its own, and end and remove everything on the way out."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="tracesieve-demo-", ignore_cleanup_errors=True)
            )
        )
        ports = _free_ports(2)
        uri = f"http://127.0.0.1:{ports[0]}"
        made = Stage(folder, uri, f"http://127.0.0.1:{ports[1]}/metrics")
        made.config.write_text(_CONFIG.format(uri=uri, name=EXPERIMENT, port=ports[1]), encoding="utf-8")
        stack.callback(_end, made)
        server = [
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(ports[0]),
            "--workers",
            "1",
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ]
        made.parts["server"] = _start(folder, "server", server, _SERVER)
        made.parts["agent"] = _start(folder, "agent", ["-m", "tracesieve.demo.traffic", uri])
        made.parts["monitor"] = _start(
            folder, "monitor", ["-m", "tracesieve.demo.monitor", uri, str(made.config)], _MONITOR
        )
        yield made


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
            return True
    except (OSError, urllib.error.URLError):
        return False


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Ask every 0.2 s.

    Raises:
        OutsideError: it did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise OutsideError(f"the MLflow server did not answer within {seconds:.0f} s")
        time.sleep(0.2)


def _start(
    folder: Path, name: str, command: list[str], more: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **_QUIET, **(more or {})}
    with (folder / f"{name}.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _end(made: Stage) -> None:
    """Stop the traffic, let the monitor finish while the server still answers, then the server; no process is
    left.
    """
    for name in ("agent", "monitor", "server"):
        if (part := made.parts.get(name)) is None:
            continue
        with suppress(ProcessLookupError):
            if name == "monitor":
                part.send_signal(signal.SIGTERM)
            else:
                os.killpg(part.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            part.wait(_GRACE_S if name == "monitor" else 5)
        with suppress(ProcessLookupError):
            os.killpg(part.pid, signal.SIGKILL)  # a worker or a JVM that outlived its parent
        part.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]

"""A sink that is one file (``tests/support/toy_sink.py``) and one registry line, end to end: its config, its
secret, alerts, an outage, the outbox, metrics, ``doctor`` and ``alerts test``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from support import toy_sink
from support.command_line import write_table
from support.servers import free_port
from support.web_hook import WebHook, web_hook

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TESTS = Path(__file__).parents[1]
RULES = """
version: 1
rules:
  - {id: failing, window: {size: 1h, by: [experiment]}, fire: error_rate > 0.1}
"""  # fires for as long as the test may take
Found = TypeVar("Found")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PAGER_TOKEN"}
    return {**kept, "PYTHONPATH": str(TESTS), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, toy_sink.__file__, *arguments]


def ran(*arguments: str, token: str = "s3cret") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(PAGER_TOKEN=token),
    )


def until(look: Callable[[], Found], what: str, seconds: float = 60) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)
    return found


class Monitor:
    """A live run whose config names the pager."""

    def __init__(self, folder: Path, pager_port: int) -> None:
        self.config, self.url = folder / "c.yaml", f"http://127.0.0.1:{free_port()}"
        write_table(folder / "traces", 40)
        (folder / "rules.yaml").write_text(RULES)
        self.config.write_text(
            "source: {kind: delta_traces, table: traces}\nstore: st\nevaluate_after: 0s\n"
            "rules: [rules.yaml]\nspark: {master: 'local[2]', memory: 1g}\n"
            f"metrics: {{listen: '{self.url[7:]}'}}\n"
            "alerts: {toy: [{name: ops, token_env: PAGER_TOKEN, "
            f"url: 'http://127.0.0.1:{pager_port}/'}}]}}\n"
        )
        self.log = folder / "log"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as log:
            run = subprocess.Popen(
                command("run", "-c", str(self.config)), stderr=log, env=environment(PAGER_TOKEN="s3cret")
            )
            try:
                yield run
            finally:
                if run.poll() is None:
                    run.kill()
                    run.wait(10)

    def metric(self, series: str) -> float:
        """A series of ``/metrics``; 0 where there is none yet."""
        try:
            text = requests.get(f"{self.url}/metrics", timeout=5).text
        except requests.RequestException:
            return 0
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0

    def deliveries(self, outcome: str) -> float:
        return self.metric(f'tracesieve_deliveries_total{{outcome="{outcome}",sink="toy/ops"}}')

    def outbox(self) -> list[dict[str, Any]]:
        rows = json.loads(ran("outbox", "list", "-c", str(self.config), "--json").stdout)["deliveries"]
        return [row for row in rows if row["sink"] == "toy/ops"]

    def doctor(self) -> list[tuple[str, str]]:
        checks = json.loads(ran("doctor", "-c", str(self.config), "--json").stdout)["checks"]
        return [(one["status"], one["found"]) for one in checks if one["name"] == "toy"]


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    return Monitor(tmp_path, free_port())


def pager_port(monitor: Monitor) -> int:
    return int(re.findall(r":(\d+)/'", monitor.config.read_text())[0])


def test_a_secret_that_is_missing_is_named_before_anything_starts(monitor: Monitor) -> None:
    done = ran("run", "-c", str(monitor.config), token="")
    assert done.returncode == 2
    assert "7: alerts.toy.0.token_env: the environment variable PAGER_TOKEN is not set" in done.stderr


def test_sem_21_a_toy_sink_is_alerted_retried_listed_measured_probed_and_tested(monitor: Monitor) -> None:
    port = pager_port(monitor)
    with monitor.running() as run:
        until(lambda: monitor.deliveries("retry"), "the pager that is down is tried", 240)
        assert monitor.metric('tracesieve_outbox_pending{sink="toy/ops"}') == 1
        (waiting,) = monitor.outbox()
        assert (waiting["outcome"], waiting["detail"]) == ("retry", "no answer (connection refused)")
        assert waiting["target"].startswith("failing:")
        assert monitor.doctor() == [("fail", f"http://127.0.0.1:{port}/: connection refused")]
        assert ran("alerts", "test", "-c", str(monitor.config)).returncode == 3
        with web_hook(port) as pager:
            check_delivery(monitor, pager, waiting)
            check_commands(monitor, pager)
            run.send_signal(signal.SIGTERM)
            assert run.wait(30) == 0, monitor.log.read_text()


def check_delivery(monitor: Monitor, pager: WebHook, waiting: dict[str, Any]) -> None:
    until(lambda: pager.bodies, "the pager is served once it is up", 90)
    (alert,), (headers,) = pager.bodies, pager.headers
    assert (alert["key"], alert["rule"], alert["status"]) == (waiting["key"], "failing", "firing")
    assert headers["Authorization"] == "Bearer s3cret"
    until(lambda: monitor.deliveries("delivered") == 1, "the delivery is counted")
    until(lambda: monitor.metric('tracesieve_outbox_pending{sink="toy/ops"}') == 0, "nothing waits")
    assert monitor.outbox() == []


def check_commands(monitor: Monitor, pager: WebHook) -> None:
    assert monitor.doctor() == [("ok", f"{pager.url} answers")]
    before = len(pager.bodies)
    done = ran("alerts", "test", "-c", str(monitor.config))
    assert (done.returncode, done.stdout) == (0, f"sent to {pager.url}\n"), done.stderr
    assert [(one["rule"], one["status"]) for one in pager.bodies[before:]] == [
        ("tracesieve-test", "firing"),
        ("tracesieve-test", "resolved"),
    ]

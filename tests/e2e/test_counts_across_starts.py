"""What Prometheus takes for live traffic when a run starts, is killed, and starts again: what ended meanwhile
is backlog.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from support.command_line import MAIN, answer
from support.servers import free_port, prometheus

from tests.e2e.test_edges_live import query, until, write

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the run serves its metrics; the config is written."""
    found = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "c.yaml").write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nrules: []\ngroup_by: [experiment]\n"
        f"metrics: {{listen: '{found[7:]}'}}\nevaluate_after: 1s\nspark: {{master: 'local[2]', memory: 1g}}\n"
    )
    return found


@contextmanager
def running(folder: Path, url: str) -> Iterator[None]:
    """A run that is ready, and killed at the end."""
    with (folder / "stderr").open("a") as log:
        command = [sys.executable, "-c", MAIN, "run", "-c", str(folder / "c.yaml")]
        run = subprocess.Popen(command, stderr=log, env=dict(os.environ))

        def ready() -> bool:
            assert run.poll() is None, (folder / "stderr").read_text()
            try:
                return requests.get(f"{url}/readyz", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        try:
            until(ready, 240, "the run is ready")
            yield
        finally:
            run.kill()
            run.wait(10)


def test_sem_13_24_increase_sees_live_traffic_alone_whatever_ended_before_a_start(
    tmp_path: Path, url: str
) -> None:
    def wait_for(expression: str, value: float) -> None:
        until(lambda: [one for _, one in query(uri, expression)] == [value], 90, f"{expression} is {value}")

    table = tmp_path / "traces"
    write(table, "old", 30, datetime.now(UTC) - timedelta(minutes=10), "OK")
    with ExitStack() as stack:
        scrape = f"{{job_name: t, static_configs: [{{targets: ['{url[7:]}']}}]}}"
        uri = stack.enter_context(prometheus(tmp_path / "prom", scrape))
        with running(tmp_path, url):
            wait_for("tracesieve_backfilled_traces_total", 30)
            wait_for("sum(tracesieve_traces_total)", 0)  # the group is served, from zero on
            write(table, "live", 20, datetime.now(UTC), "OK")
            wait_for("sum(tracesieve_traces_total)", 20)
        write(table, "down", 60, datetime.now(UTC), "ERROR")
        with running(tmp_path, url):
            wait_for("tracesieve_backfilled_traces_total", 60)
            write(table, "back", 5, datetime.now(UTC), "OK")
            wait_for("sum(tracesieve_traces_total)", 5)
            ((_, live),) = query(uri, "sum(increase(tracesieve_traces_total[30m]))")
            ((_, backlog),) = query(uri, "increase(tracesieve_backfilled_traces_total[30m])")
            ((_, late),) = query(uri, "increase(tracesieve_late_traces_total[30m])")
    assert live == pytest.approx(25, rel=0.1)  # Prometheus extrapolates a little
    assert backlog == pytest.approx(90, rel=0.1)
    assert late == 0
    found = answer("report", "-c", str(tmp_path / "c.yaml"))
    assert (found["traces"], found["errors"]) == (115, 60)
    assert (found["freshness"]["backlog"], found["freshness"]["late"]) == (90, 0)

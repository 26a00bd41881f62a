"""A live run over a Delta table with everything at its edges real: two Alertmanagers, Prometheus, MLflow and
the log.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest
import requests
from deltalake import write_deltalake
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.servers import PASSWORD, MlflowServer, alertmanager, free_port, needs, prometheus, self_signed

from store.schemas import TRACES

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
MAIN = "from tracesieve.cli import main; main()"
RULES = """
version: 1
rules:
  - {id: failures, when: "status = 'ERROR'", tag: error_case}
  - id: failing
    window: {size: 1m, by: [experiment]}
    fire: error_rate > 0.5
    min_traces: 5
    evidence: {tag: error_case, most: 3}
    severity: critical
"""
Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float, what: str) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
    return found


def write(
    table: Path, prefix: str, number: int, end: datetime, state: str, tags: dict[str, str] | None = None
) -> None:
    rows = [
        {
            "trace_id": f"{prefix}-{i}",
            "experiment_id": "1",
            "experiment_name": "support",
            "state": state,
            "request_time": end - timedelta(seconds=1.5),
            "execution_duration_ms": 1500.0 + i,
            "request": json.dumps({"q": f"secret question {prefix} {i}"}),
            "response": json.dumps(f"answer {i}"),
            "tags": list({"environment": 'pro"d\n', **(tags or {})}.items()),
            "trace_metadata": [],
            "spans": [],
            "assessments": [],
        }
        for i in range(number)
    ]
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(table), pa.Table.from_pylist(rows, schema=schema), mode="append")


class Outage:
    """Failing traffic that goes on for as long as it is looked at."""

    def __init__(self, table: Path) -> None:
        self.table, self.traces, self._last = table, 0, 0.0

    def goes_on(self) -> None:
        if time.monotonic() - self._last > 20:
            write(self.table, f"bad{self.traces}", 10, datetime.now(UTC), "ERROR")
            self.traces, self._last = self.traces + 10, time.monotonic()


class Hook:
    """What an Alertmanager tells the people that it is to tell."""

    def __init__(self) -> None:
        told: list[dict[str, Any]] = []
        self.told = told

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def statuses(self) -> set[str]:
        return {alert["status"] for alert in self.told}


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def query(uri: str, expression: str) -> list[tuple[dict[str, str], float]]:
    answer = requests.get(f"{uri}/api/v1/query", params={"query": expression}, timeout=10).json()
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


def check_metrics(url: str) -> None:
    """The text as promtool and the OpenMetrics parser see it."""
    plain = requests.get(f"{url}/metrics", timeout=10)
    checked = subprocess.run(
        [needs("promtool"), "check", "metrics"], input=plain.text, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    asked = requests.get(
        f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}, timeout=10
    )
    assert {one.name for one in text_string_to_metric_families(asked.text)} >= {
        "tracesieve_traces",
        "tracesieve_alerts",
    }


def records(server: MlflowServer, experiment: str, dataset: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    sets = client.search_datasets([found.experiment_id], f"name = '{dataset}'")
    return client._tracking_client.store._load_dataset_records(sets[0].dataset_id)[0] if sets else []


def test_sem_16_20_21_24_live_edges_from_a_delta_table(  # noqa: PLR0915
    mlflow_server: MlflowServer, hook: Hook, tmp_path: Path
) -> None:
    name, port, late_port = f"edge-{uuid.uuid4().hex[:8]}", free_port(), free_port()
    cert = self_signed(tmp_path)
    url, table = f"http://127.0.0.1:{port}", tmp_path / "traces"
    write(table, "old", 5, datetime.now(UTC) - timedelta(minutes=10), "OK")
    write(table, "gold", 1, datetime.now(UTC) - timedelta(minutes=10), "OK", {"eval_candidate": "golden"})
    (tmp_path / "rules.yaml").write_text(RULES)
    config = tmp_path / "c.yaml"
    with ExitStack() as stack:
        safe = stack.enter_context(alertmanager(tmp_path / "am", certificate=cert, webhook=hook.url))
        scraped = stack.enter_context(
            prometheus(
                tmp_path / "prom", f"{{job_name: t, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"
            )
        )
        config.write_text(
            "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\ngroup_by: "
            "[experiment, environment]\n"
            f"mlflow: {{tracking_uri: '{mlflow_server.uri}', tags: false}}\ndatasets: "
            f"{{prefix: edge, experiment: {name}}}\n"
            f"metrics: {{listen: '127.0.0.1:{port}'}}\nevaluate_after: 1s\nlog: {{format: json}}\n"
            "spark: {master: 'local[2]', memory: 1g}\n"
            f"alerts: {{alertmanager: [{{url: '{safe}', username: prom, "
            f"password_env: AM_PASSWORD, ca_file: '{cert[0]}'}}, "
            f"'http://127.0.0.1:{late_port}']}}\n"
        )
        said = (tmp_path / "stderr").open("w")
        stack.callback(said.close)
        run = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", "-c", str(config)],
            stderr=said,
            env={**os.environ, "AM_PASSWORD": PASSWORD},
        )
        stack.callback(lambda: run.poll() is None and (run.kill(), run.wait(10)))

        def up() -> bool:
            assert run.poll() is None, (tmp_path / "stderr").read_text()
            try:
                return requests.get(f"{url}/readyz", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        def firing(uri: str, **access: Any) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/alerts", timeout=10, **access).json()
            return [one for one in found if one["labels"]["alertname"] == "failing"]

        until(up, 240, "the run is ready")
        check_metrics(url)
        outage = Outage(table)
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        write(table, "bad", 10, minute - timedelta(seconds=10), "ERROR")
        login = {"auth": ("prom", PASSWORD), "verify": cert[0]}
        (alert,) = until(lambda: outage.goes_on() or firing(safe, **login), 120, "the alert fires")
        assert alert["labels"] == {"alertname": "failing", "severity": "critical", "experiment": "support"}
        assert alert["status"]["state"] == "active"
        evidence = alert["annotations"]["evidence"].split(",")
        assert (len(evidence), {one[:3] for one in evidence}) == (3, {"bad"})
        assert alert["annotations"]["condition"] == "error_rate > 0.5"
        assert alert["generatorURL"] == f"{url}/metrics"
        until(lambda: outage.goes_on() or hook.statuses() == {"firing"}, 60, "people are told")
        late = stack.enter_context(alertmanager(tmp_path / "late", late_port))
        (heard,) = until(
            lambda: outage.goes_on() or firing(late), 150, "the instance that was down hears of it"
        )
        assert heard["fingerprint"] == alert["fingerprint"]

        write(
            table, "good", 40, datetime.now(UTC), "OK"
        )  # traffic recovers in this minute; the next one sees it
        until(
            lambda: query(scraped, 'sum(tracesieve_traces_total{state="OK"})') == [({}, 46.0)],
            90,
            "all is counted",
        )
        ((labels, value),) = query(
            scraped, 'sum by (experiment, environment) (tracesieve_traces_total{state="ERROR"})'
        )
        assert (labels, value) == ({"experiment": "support", "environment": 'pro"d\n'}, 10.0 + outage.traces)
        ((_, half),) = query(
            scraped, "histogram_quantile(0.5, sum by (le) (tracesieve_trace_duration_seconds_bucket))"
        )
        assert 0.8 <= half <= 1.6
        now = time.time()
        asked = {"query": "tracesieve_trace_duration_seconds_bucket", "start": now - 3600, "end": now + 60}
        series = requests.get(f"{scraped}/api/v1/query_exemplars", params=asked, timeout=10).json()["data"]
        assert {one["labels"]["trace_id"][:3] for each in series for one in each["exemplars"]} & {
            "bad",
            "goo",
        }
        assert query(scraped, 'tracesieve_deliveries_total{sink="alertmanager",outcome="retry"}')
        check_metrics(url)

        until(lambda: not firing(safe, **login) and not firing(late), 200, "the alert is resolved")
        until(lambda: hook.statuses() == {"firing", "resolved"}, 60, "people are told that it is over")
        until(
            lambda: [one for _, one in query(scraped, "sum(tracesieve_alerts)")] == [0.0],
            30,
            "the gauge falls",
        )
        until(
            lambda: len(records(mlflow_server, name, "edge_error_case")) == 10 + outage.traces,
            60,
            "the dataset grows",
        )
        (golden,) = until(
            lambda: records(mlflow_server, name, "edge_golden"), 30, "a person's candidate is in its dataset"
        )
        assert (golden.inputs, golden.outputs) == ({"q": "secret question gold 0"}, "answer 0")
        assert golden.tags["tracesieve.added_by"] == "person"
        assert {
            one.tags["tracesieve.added_by"] for one in records(mlflow_server, name, "edge_error_case")
        } == {"rule"}
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0
    text = (tmp_path / "stderr").read_text()
    assert "secret question" not in text
    own = [
        json.loads(line) for line in text.splitlines() if line.startswith("{")
    ]  # the JVM says a word of its own
    lines = [line for line in own if line["logger"] == "tracesieve.alerts"]
    assert [(line["status"], line["rule"], line["severity"]) for line in lines] == [
        ("firing", "failing", "critical"),
        ("resolved", "failing", "critical"),
    ]
    assert lines[0]["group"] == {"experiment": "support"}
    assert (lines[0]["value"], len(lines[0]["evidence"])) == (1.0, 3)
    undone = subprocess.run(
        [sys.executable, "-c", MAIN, "undo", "-c", str(config), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert undone.returncode == 0, undone.stderr
    assert json.loads(undone.stdout) == {"withdrawn": 11 + outage.traces, "waiting": 0}
    assert (
        records(mlflow_server, name, "edge_error_case") == records(mlflow_server, name, "edge_golden") == []
    )

"""A live run over a Delta table with everything at its edges real: two Alertmanagers, Prometheus, MLflow and
the log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
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
from support.web_hook import WebHook, web_hook

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
    """Failing traffic, more of it each time :meth:`goes_on` is called after a while."""

    def __init__(self, table: Path) -> None:
        self.table, self.traces, self._last = table, 0, 0.0

    def goes_on(self) -> None:
        if time.monotonic() - self._last > 20:
            write(self.table, f"bad{self.traces}", 10, datetime.now(UTC), "ERROR")
            self.traces, self._last = self.traces + 10, time.monotonic()


def query(uri: str, expression: str) -> list[tuple[dict[str, str], float]]:
    answer = requests.get(f"{uri}/api/v1/query", params={"query": expression}, timeout=10).json()
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


def firing(uri: str, **access: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/alerts", timeout=10, **access).json()
    return [one for one in found if one["labels"]["alertname"] == "failing"]


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


class Live:
    """The run, the servers at its edges, and what is asked of them; a step a method, in this order."""

    def __init__(self, folder: Path, mlflow: MlflowServer, hook: WebHook, stack: ExitStack) -> None:
        self.folder, self.mlflow, self.hook, self.stack = folder, mlflow, hook, stack
        self.experiment, self.late_port = f"edge-{uuid.uuid4().hex[:8]}", free_port()
        self.table, self.config, self.log = folder / "traces", folder / "c.yaml", folder / "stderr"
        self.outage = Outage(self.table)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.certificate = self_signed(folder)
        self.login = {"auth": ("prom", PASSWORD), "verify": self.certificate[0]}
        self.safe = stack.enter_context(
            alertmanager(folder / "am", certificate=self.certificate, webhook=hook.url)
        )
        scrape = f"{{job_name: t, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"
        self.prometheus = stack.enter_context(prometheus(folder / "prom", scrape))

    def start(self) -> None:
        """The run, over a table with five good traces and one that a person labelled."""
        before = datetime.now(UTC) - timedelta(minutes=10)
        write(self.table, "old", 5, before, "OK")
        write(self.table, "gold", 1, before, "OK", {"eval_candidate": "golden"})
        (self.folder / "rules.yaml").write_text(RULES)
        self.config.write_text(
            "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\ngroup_by: "
            "[experiment, environment]\n"
            f"mlflow: {{tracking_uri: '{self.mlflow.uri}', tags: false}}\ndatasets: "
            f"{{prefix: edge, experiment: {self.experiment}}}\n"
            f"metrics: {{listen: '{self.url[7:]}'}}\nevaluate_after: 1s\nlog: {{format: json}}\n"
            "spark: {master: 'local[2]', memory: 1g}\n"
            f"alerts: {{alertmanager: [{{url: '{self.safe}', username: prom, "
            f"password_env: AM_PASSWORD, ca_file: '{self.certificate[0]}'}}, "
            f"'http://127.0.0.1:{self.late_port}']}}\n"
        )
        log = self.stack.enter_context(self.log.open("w"))
        self.run = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", "-c", str(self.config)],
            stderr=log,
            env={**os.environ, "AM_PASSWORD": PASSWORD},
        )
        self.stack.callback(lambda: self.run.poll() is None and (self.run.kill(), self.run.wait(10)))
        until(self.up, 240, "the run is ready")
        check_metrics(self.url)

    def up(self) -> bool:
        assert self.run.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        return query(self.prometheus, expression)

    def records(self, dataset: str) -> list[Any]:
        return records(self.mlflow, self.experiment, dataset)

    def statuses(self) -> set[str]:
        """What people were paged with."""
        return {alert["status"] for body in self.hook.bodies for alert in body["alerts"]}

    def the_alert_fires_with_its_evidence(self) -> dict[str, Any]:
        write(self.table, "bad", 10, datetime.now(UTC), "ERROR")
        (alert,) = until(
            lambda: self.outage.goes_on() or firing(self.safe, **self.login), 120, "the alert fires"
        )
        assert alert["labels"] == {"alertname": "failing", "severity": "critical", "experiment": "support"}
        assert alert["status"]["state"] == "active"
        evidence = alert["annotations"]["evidence"].split(",")
        assert (len(evidence), {one[:3] for one in evidence}) == (3, {"bad"})
        assert alert["annotations"]["condition"] == "error_rate > 0.5"
        assert alert["generatorURL"] == f"{self.url}/metrics"
        until(lambda: self.outage.goes_on() or self.statuses() == {"firing"}, 60, "people are paged")
        return alert

    def an_instance_that_was_down_gets_it(self, alert: dict[str, Any]) -> None:
        self.late = self.stack.enter_context(alertmanager(self.folder / "late", self.late_port))
        (late,) = until(
            lambda: self.outage.goes_on() or firing(self.late), 150, "the instance that was down gets it"
        )
        assert late["fingerprint"] == alert["fingerprint"]

    def everything_is_counted(self) -> None:
        # Traffic recovers in this minute; the next one sees it.
        write(self.table, "good", 40, datetime.now(UTC), "OK")
        until(
            lambda: self.query('sum(tracesieve_traces_total{state="OK"})') == [({}, 40.0)],
            90,
            "all is counted",
        )
        assert self.query("tracesieve_backfilled_traces_total")[0][1] == 6  # had ended before the start
        ((labels, value),) = self.query(
            'sum by (experiment, environment) (tracesieve_traces_total{state="ERROR"})'
        )
        assert (labels, value) == (
            {"experiment": "support", "environment": 'pro"d\n'},
            10.0 + self.outage.traces,
        )
        ((_, half),) = self.query(
            "histogram_quantile(0.5, sum by (le) (tracesieve_trace_duration_seconds_bucket))"
        )
        assert 0.8 <= half <= 1.6
        now = time.time()
        asked = {"query": "tracesieve_trace_duration_seconds_bucket", "start": now - 3600, "end": now + 60}
        answer = requests.get(f"{self.prometheus}/api/v1/query_exemplars", params=asked, timeout=10).json()
        exemplars = [one["labels"]["trace_id"] for each in answer["data"] for one in each["exemplars"]]
        assert {trace[:3] for trace in exemplars} & {"bad", "goo"}
        assert self.query('tracesieve_deliveries_total{sink="alertmanager",outcome="retry"}')
        check_metrics(self.url)

    def the_alert_is_resolved(self) -> None:
        until(
            lambda: not firing(self.safe, **self.login) and not firing(self.late),
            200,
            "the alert is resolved",
        )
        until(lambda: self.statuses() == {"firing", "resolved"}, 60, "people learn that it is over")
        until(
            lambda: [one for _, one in self.query("sum(tracesieve_alerts)")] == [0.0], 30, "the gauge falls"
        )

    def datasets_hold_failed_and_labelled_traces(self) -> None:
        failed = 10 + self.outage.traces
        until(lambda: len(self.records("edge_error_case")) == failed, 60, "the dataset grows")
        (golden,) = until(lambda: self.records("edge_golden"), 30, "a person's candidate is in its dataset")
        assert (golden.inputs, golden.outputs) == ({"q": "secret question gold 0"}, "answer 0")
        assert golden.tags["tracesieve.added_by"] == "person"
        added_by = {one.tags["tracesieve.added_by"] for one in self.records("edge_error_case")}
        assert added_by == {"rule"}

    def it_ends_in_order(self) -> None:
        self.run.send_signal(signal.SIGTERM)
        assert self.run.wait(30) == 0

    def the_log_has_each_step_once_and_no_content(self) -> None:
        text = self.log.read_text()
        assert "secret question" not in text
        # The JVM writes lines of its own.
        own = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        lines = [line for line in own if line["logger"] == "tracesieve.alerts"]
        assert [(line["status"], line["rule"], line["severity"]) for line in lines] == [
            ("firing", "failing", "critical"),
            ("resolved", "failing", "critical"),
        ]
        assert lines[0]["group"] == {"experiment": "support"}
        assert (lines[0]["value"], len(lines[0]["evidence"])) == (1.0, 3)

    def undo_takes_everything_back(self) -> None:
        undone = subprocess.run(
            [sys.executable, "-c", MAIN, "undo", "-c", str(self.config), "--json"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert undone.returncode == 0, undone.stderr
        found = json.loads(undone.stdout)
        assert (found["withdrawn"], found["waiting"]) == (11 + self.outage.traces, 0)
        assert self.records("edge_error_case") == self.records("edge_golden") == []


def test_sem_16_20_21_24_live_edges_from_a_delta_table(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        hook = stack.enter_context(web_hook())
        live = Live(tmp_path, mlflow_server, hook, stack)
        live.start()
        alert = live.the_alert_fires_with_its_evidence()
        live.an_instance_that_was_down_gets_it(alert)
        live.everything_is_counted()
        live.the_alert_is_resolved()
        live.datasets_hold_failed_and_labelled_traces()
        live.it_ends_in_order()
    live.the_log_has_each_step_once_and_no_content()
    live.undo_takes_everything_back()

"""Rows that nobody means well with through a whole run but Spark: facts, verdicts, alerts, tags, datasets on
MLflow's own store, metrics, and what the commands print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support import hostile_traces as hostile

from rules.units import MINUTE_US
from sinks.alert_log import line
from sinks.alertmanager import Alertmanager, AlertmanagerConfig
from store.outbox import Outbox
from store.schemas import TRACES
from streams.batch.classify import LATEST_US
from streams.batch.match import mapper, plan, unpacked
from streams.batch.process import BatchWorker
from tracesieve.alerts.listing import list_alerts
from tracesieve.analysis.explain import explain_trace
from tracesieve.analysis.report import report
from tracesieve.commands import alerts, explain
from tracesieve.commands import report as report_command
from tracesieve.config.loading import load_settings
from tracesieve.config.trace_table import trace_table
from tracesieve.datasets.listing import listed
from tracesieve.run.parts import Run, open_run
from tracesieve.terminal import group_names, plain

NOW_US = 1_800_000_000_000_000 // MINUTE_US * MINUTE_US
SHORT = TRACES.remove(TRACES.get_field_index("landed_us"))
CONFIG = """
source: {kind: delta_traces, table: traces}
store: st
rules: [rules.yaml]
metrics: null
dedupe_horizon: 4000d
mlflow: {tracking_uri: 'sqlite:///DATABASE'}
datasets: {experiment: 'EXPERIMENT'}
"""
RULES = """
version: 1
rules:
  - {id: every, when: "execution_time_ms IS NULL OR execution_time_ms >= 0", tag: every, severity: critical}
  - id: any-trace
    window: {size: 5m, by: [experiment, trace_name, environment]}
    fire: traces >= 1
    evidence: {tag: evidence, most: 5}
"""


def good(number: int) -> dict[str, Any]:
    return {
        "trace_id": f"good-{number}",
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": NOW_US - 3 * MINUTE_US,
        "state": "ERROR",
        "execution_duration_ms": 20.0,
        "request": json.dumps({"q": number}),
        "response": '{"a": 1}' if number else '"text"',
        "trace_metadata": [],
        "tags": [("mlflow.traceName", "agent"), ("environment", "prod")],
        "spans": [],
        "assessments": [],
    }


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's own SQL store; each run has an experiment of its own in it."""
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@contextmanager
def a_run(folder: Path, database: Path, rows: list[dict[str, Any]]) -> Iterator[Run]:
    """A run that has taken these rows in one batch, followed and delivered."""
    write_deltalake(str(folder / "traces"), pa.Table.from_pylist(rows, schema=SHORT))
    (folder / "rules.yaml").write_text(RULES)
    text = CONFIG.replace("DATABASE", str(database)).replace("EXPERIMENT", folder.name)
    (folder / "c.yaml").write_text(text)
    with ExitStack() as stack:
        settings = load_settings(str(folder / "c.yaml"))
        run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=NOW_US, once=True)
        todo = plan(run.rule_set, settings.group_by)
        (packed,) = mapper(todo)([hostile.from_spark(rows, todo.columns)])
        narrow = unpacked(pa.Table.from_batches([packed]))
        narrow = narrow.set_column(
            narrow.schema.get_field_index("landed_us"),
            "landed_us",
            pa.array([NOW_US] * len(rows), pa.int64()),
        )
        run.follow(NOW_US, NOW_US)  # what it counts begins with the batches after its start
        BatchWorker(run.config, lambda: NOW_US, lambda _: narrow).process(None, 0)
        run.follow(NOW_US, NOW_US)
        run.deliver_once()
        yield run


def settled(run: Run) -> list[dict[str, Any]]:
    """Every delivery; none waits, and none was given up because it breaks."""
    rows = Outbox(run.store).rows()
    assert {row["outcome"] for row in rows} <= {"dead"}, [row["detail"] for row in rows]
    of_datasets = [row for row in rows if row["sink"] == "mlflow_datasets"]
    assert all(row["detail"].startswith("an eval_candidate") for row in of_datasets), of_datasets
    return rows


def of_good(run: Run) -> dict[str, Any]:
    """What the store says of the good traces, whatever else it holds."""
    facts = run.store.table("facts").read()
    facts = facts.filter(facts["trace_id"].str.starts_with("good-")).sort("trace_id")
    firing = [
        (one["rule"], one["status"], one["evidence"])
        for one in list_alerts(run.store)
        if one["group"] == {"experiment": "support", "trace_name": "agent", "environment": "prod"}
    ]
    records = run.store.table("records").read()
    records = records.filter(records["trace_id"].str.starts_with("good-"))
    own = sorted(records.select("dataset", "record", "trace_id").unique().rows())
    return {
        "facts": facts.drop("content_hash", "change_us", "stream_id").to_dicts(),
        "firing": firing,
        "records": own,
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, database: Path) -> dict[str, Any]:
    with a_run(tmp_path_factory.mktemp("alone"), database, [good(0), good(1)]) as run:
        settled(run)
        found = of_good(run)
    assert (len(found["facts"]), len(found["firing"]), len(found["records"])) == (2, 1, 4)
    return found


def assert_shown(run: Run, rows: list[dict[str, Any]]) -> None:
    """What leaves the program in any form is well-formed and obeyed by nobody."""
    registry = run.metrics.registry()
    list(text_string_to_metric_families(generate_latest(registry).decode()))
    list(parsed_openmetrics(openmetrics(registry).decode()))
    table = trace_table(run.settings)
    document = report(run.store, 0, LATEST_US, [], LATEST_US, table)
    document["datasets"] = listed(run.store)
    forms = ((False, None), (True, None), (False, "-"))
    shown = [partial(report_command._show, document, False, markdown, html) for markdown, html in forms]
    found = list_alerts(run.store)
    names = group_names([one["group"] for one in found])
    shown += [partial(alerts._show, one, name) for one, name in zip(found, names, strict=True)]
    for row in rows:
        if not row["trace_id"]:
            continue
        explained = explain_trace(run.settings, run.store, run.rule_set, row["trace_id"], NOW_US)
        json.dumps(explained, allow_nan=False)
        shown.append(partial(explain.show, explained))
    json.dumps([document, found], allow_nan=False)
    for one in shown:
        done = CliRunner().invoke(click.command()(lambda one=one: one()))
        assert done.exception is None, done.exception
        assert all(text == plain(text) for text in done.output.split("\n"))


def assert_announced(run: Run) -> None:
    """Every alert can be posted and logged."""
    sink = Alertmanager([AlertmanagerConfig(url="http://127.0.0.1:1")], lambda: NOW_US)
    sent = run.store.table("outbox").read()
    notifications = [json.loads(one) for one in sent.filter(sent["sink"] == "alert_log")["payload"]]
    assert notifications
    for payload in notifications:
        for status in ("firing", "resolved"):
            json.dumps(sink._alert({**payload, "status": status, "resolved_us": NOW_US}), allow_nan=False)
            assert "\n" not in line(payload)


ids = st.one_of(hostile.texts.filter(bool), st.just("hostile"))


@given(st.lists(hostile.rows(ids), min_size=1, max_size=2, unique_by=lambda row: row["trace_id"]))
@hostile.few(6, 300)
def test_a_run_with_hostile_rows_counts_tells_and_keeps_what_it_would_without(
    tmp_path_factory: pytest.TempPathFactory,
    database: Path,
    alone: dict[str, Any],
    rows: list[dict[str, Any]],
) -> None:
    assert_stays_well(tmp_path_factory.mktemp("run"), database, alone, rows)


def test_a_run_with_every_listed_text_and_time(tmp_path: Path, database: Path, alone: dict[str, Any]) -> None:
    rows = [_full_of(text, number) for number, text in enumerate([*hostile.TEXTS, *hostile.JSON_TEXTS])]
    rows += [
        {**good(0), "trace_id": f"at {time_us}", "experiment_name": "odd", "request_time": time_us}
        for time_us in [*hostile.FAR, *hostile.DATES]
    ]
    assert_stays_well(tmp_path, database, alone, rows)


def _full_of(text: str, number: int) -> dict[str, Any]:
    """A row with that text wherever a text can be; ids differ."""
    tags = [(text, text), ("mlflow.traceName", text), ("environment", text), ("eval_candidate", text)]
    texts = dict.fromkeys(("experiment_id", "experiment_name", "request", "response"), text)
    spans = [{"name": text, "status_code": "ERROR", "status_message": text}]
    return {**good(0), **texts, "trace_id": f"{number} {text}", "tags": tags, "spans": spans}


def assert_stays_well(
    folder: Path, database: Path, alone: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """A run with these rows says of the good ones what it says without, and every row is accounted for."""
    with a_run(folder, database, [good(0), *rows, good(1)]) as run:
        settled(run)
        assert of_good(run) == alone
        counted = set(run.store.table("facts").read()["trace_id"])
        kept = set(run.store.table("quarantine").read()["trace_id"])
        waiting = set(run.store.table("in_progress").read()["trace_id"])
        expired = run.store.table("batches").read()["expired"].sum()
        unseen = {row["trace_id"] for row in rows} - counted - kept - waiting
        assert len(unseen) <= expired
        assert_announced(run)
        assert_shown(run, rows)

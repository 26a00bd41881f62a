"""Bad input as a person meets it: one clear message, exit code 2 or 3, nothing on stdout, nothing lost."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from support.command_line import SPARK, answer, tracesieve
from support.servers import MlflowServer, free_port

from store.schemas import TRACES
from tracesieve import cli

SCHEMA = TRACES.remove(TRACES.get_field_index("landed_us"))
TABLE = "source: {kind: delta_traces, table: traces}\nstore: st\nmetrics: null\n"
CommandLine = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own; the log's handlers are given back, they write to a stream that ends with the
    test.
    """
    monkeypatch.chdir(tmp_path)
    before = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = before


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs a command line in this process; gives its exit code and stderr. Nothing may be on stdout."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tracesieve", *arguments])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        output = capsys.readouterr()
        assert output.out == ""
        assert "Traceback" not in output.err, output.err
        return int(code or 0), output.err

    return run


def config(text: str) -> None:
    Path("tracesieve.yaml").write_text(text)


def traces(schema: pa.Schema = SCHEMA) -> None:
    write_deltalake("traces", schema.empty_table())


def test_no_config_and_every_unknown_key_at_once(failing: CommandLine) -> None:
    code, stderr = failing("run", "--once")
    assert code == 2
    assert "tracesieve init" in stderr
    config(TABLE + "storre: x\nlog: {lvl: info, format: xml}\n")
    code, stderr = failing("run", "--once")
    assert code == 2
    assert stderr.splitlines() == [
        "tracesieve.yaml:4: storre: unknown key (did you mean `store`?)",
        "tracesieve.yaml:5: log.format: one of 'text' or 'json' is expected, not 'xml'",
        "tracesieve.yaml:5: log.lvl: unknown key (did you mean `level`?)",
    ]


def test_a_wrong_variable_is_named_instead_of_a_line(
    failing: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(TABLE)
    monkeypatch.setenv("TRACESIEVE_EVALUATE_AFTER", "later")
    code, stderr = failing("report")
    assert code == 2
    assert stderr.startswith("TRACESIEVE_EVALUATE_AFTER: 'later' is no duration")


def test_a_table_that_lacks_a_column_has_another_type_or_is_none(failing: CommandLine) -> None:
    other = {"execution_duration_ms": pa.string(), "spans": pa.string()}
    traces(
        pa.schema(
            [field.with_type(other.get(field.name, field.type)) for field in SCHEMA if field.name != "state"]
        )
    )
    config(TABLE)
    code, stderr = failing("run", "--once")
    assert code == 3
    for part in (
        "column state is missing (map it with source.columns.state)",
        "execution_duration_ms is string, not double",
        "spans is string, not an array of structs",
    ):
        assert part in stderr
    config(TABLE.replace("table: traces", "table: nowhere"))
    code, stderr = failing("run", "--once")
    assert code == 3
    assert "nowhere does not exist" in stderr
    Path("folder").mkdir()
    config(TABLE.replace("table: traces", "table: folder"))
    code, stderr = failing("run", "--once")
    assert code == 3
    assert "folder is not a Delta table (a view cannot be streamed: name its base tables)" in stderr


def test_a_view_of_a_catalog_says_what_to_name_instead(failing: CommandLine) -> None:
    config(TABLE.replace("table: traces", "table: main.genai.trace_unified"))
    code, stderr = failing("run", "--once")
    assert code == 3
    assert "DESCRIBE DETAIL" in stderr
    assert "name its base tables" in stderr


def test_every_mistake_of_the_rules_at_once_with_file_line_and_column(failing: CommandLine) -> None:
    traces()
    Path("r.yaml").write_text(
        "version: 1\nrules:\n"
        "  - id: a\n    when: status =\n    tag: t\n"
        "  - id: b\n    when: statusx = 'ERROR' AND execution_time_ms > 'x'\n    tag: t\n"
        "  - id: c\n    window: {size: 5m, by: [nope]}\n    fire: error_rate > 0.05\n"
    )
    config(TABLE + "rules: [r.yaml]\n")
    code, stderr = failing("run", "--once")
    assert code == 2
    places = [line.removeprefix(str(Path.cwd()) + "/").split(" ")[:3] for line in stderr.splitlines()]
    assert places == [
        ["r.yaml:4:19:", "error", "syntax"],
        ["r.yaml:7:11:", "error", "unknown-field"],
        ["r.yaml:7:33:", "error", "type"],
        ["r.yaml:10:29:", "error", "by"],
    ]
    config(TABLE + "rules: [none.yaml]\n")
    code, stderr = failing("run", "--once")
    assert code == 2
    assert "none.yaml" in stderr


def test_a_store_that_cannot_be_written(failing: CommandLine) -> None:
    traces()
    Path("st").write_text("in the way")
    config(TABLE)
    code, stderr = failing("run", "--once")
    assert code == 3
    assert "st cannot be written" in stderr
    config(TABLE.replace("store: st", "store: st/below"))
    assert failing("run", "--once")[0] == 3
    assert Path("st").read_text() == "in the way"


def test_a_port_in_use_is_reported_before_spark_starts(failing: CommandLine) -> None:
    traces()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config(TABLE.replace("metrics: null", f"metrics: {{listen: '{address}'}}"))
        code, stderr = failing("run")
    assert code == 2
    assert f"metrics.listen: {address}" in stderr


def test_a_server_that_is_down_is_reported_within_seconds_and_once(failing: CommandLine) -> None:
    config(
        "source: "
        f"{{kind: mlflow, tracking_uri: 'http://127.0.0.1:{free_port()}', experiments: [a]}}\nstore: st\n"
    )
    began = time.monotonic()
    code, stderr = failing("run", "--once")
    assert code == 3
    assert time.monotonic() - began < 20  # some 2 s, and the import of MLflow on a busy machine
    assert len(stderr.splitlines()) == 1
    assert "tracking_uri" in stderr


@pytest.mark.e2e
def test_an_unknown_experiment_lists_those_there_are(
    failing: CommandLine, mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    config(
        f"source: {{kind: mlflow, tracking_uri: '{mlflow_server.uri}', experiments: [nosuch]}}\nstore: st\n"
    )
    code, stderr = failing("run", "--once")
    assert code == 3
    assert "nosuch" in stderr
    assert experiment[1] in stderr


def row(trace_id: str, **more: Any) -> dict[str, Any]:
    begin = datetime.now(UTC) - timedelta(seconds=90)
    plain = {
        "trace_id": trace_id,
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": begin,
        "state": "OK",
        "execution_duration_ms": 100.0,
        "request": "q",
        "response": "a",
        "tags": [],
        "trace_metadata": [],
        "spans": [],
        "assessments": [],
    }
    return {**plain, **more}


def span(number: int, **more: Any) -> dict[str, Any]:
    begin = datetime.now(UTC) - timedelta(seconds=90)
    plain = {
        "span_id": f"s{number}",
        "parent_id": None,
        "name": "n",
        "start_time": begin,
        "end_time": begin,
        "status_code": "OK",
        "attributes": [("mlflow.spanType", '"TOOL"')],
        "events": [],
    }
    return {**plain, **more}


def test_hostile_rows_are_counted_or_quarantined_and_an_empty_table_is_no_mistake() -> None:
    write_deltalake("traces", SCHEMA.empty_table())
    made = tracesieve("init", "-c", "c.yaml", "--table", "traces", "--json")
    assert made.returncode == 0, made.stderr
    with Path("c.yaml").open("a") as file:
        file.write(SPARK)
    empty = json.loads(tracesieve("run", "--once", "-c", "c.yaml", "--json").stdout)
    assert (empty["traces"], empty["waiting"]) == (0, 0)
    rows = [
        row("broken", trace_metadata=[("mlflow.trace.tokenUsage", '{"input_tokens": 1')]),
        row("", state="ERROR"),
        row("no-spans", spans=None),
        row("many", state="ERROR", spans=[span(n, status_code="ERROR") for n in range(10_000)]),
        row("long", request="\x1b[2J" + "x" * 5_000_000),
    ]
    write_deltalake("traces", pa.Table.from_pylist(rows, schema=SCHEMA), mode="append")
    done = tracesieve("run", "--once", "-c", "c.yaml", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["traces"], document["errors"], document["quarantined"]) == (4, 1, 2)
    for line in done.stderr.splitlines():
        assert " tracesieve." in line or " streams." in line, f"a line that is not ours: {line}"
    report = answer("report", "-c", "c.yaml")
    assert (report["traces"], report["freshness"]["quarantined"]) == (4, 2)
    shown = tracesieve("report", "-c", "c.yaml").stdout
    assert "quarantined 2" in shown
    assert "\x1b" not in shown
    explained = {rule["rule"]: rule["matched"] for rule in answer("explain", "many", "-c", "c.yaml")["rules"]}
    assert explained["error-traces"] is True
    assert explained["tool-errors"] is True


def test_sem_26_once_with_an_alertmanager_and_no_schedule_is_refused(failing: CommandLine) -> None:
    traces()
    config(TABLE + "alerts: {alertmanager: ['http://127.0.0.1:9']}\n")
    code, stderr = failing("run", "--once")
    assert code == 2
    assert "alerts.once_every" in stderr
    assert "15m" in stderr

"""docs/patterns/mine-by-filter.md on a real MLflow server: the script of today and `search` find the same."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from support.counted_traces import count
from support.doc_blocks import ROOT, Block, blocks
from support.failed_traces import counted
from support.landing_cases import source
from support.made_facts import batch, fact
from support.mlflow_traces import log_trace
from support.servers import MlflowServer

from rules.units import MINUTE_US
from sinks.mlflow.provenance import ADDED_BY, REASON
from store import Store, open_store
from streams.checkpoint import checkpoint_of, stream_id
from streams.sources.mlflow.landing import MlflowLanding
from tracesieve.cli import cli
from tracesieve.commands import search
from tracesieve.exits import exit_code_of

pytestmark = pytest.mark.e2e
PAGE = blocks(ROOT / "docs" / "patterns" / "mine-by-filter.md")


def script(server: MlflowServer, name: str) -> str:
    (one,) = (block for block in PAGE if block.file == "today.py")
    return one.text.replace("http://127.0.0.1:5000", server.uri).replace("support-agent", name)


def commands(one: Block) -> list[str]:
    return [line.removeprefix("tracesieve search ") for line in one.text.splitlines()]


def test_search_finds_what_the_script_of_today_does_and_says_where(
    tmp_path: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    now_us = time.time_ns() // 1000
    for number in range(6):
        log_trace(
            mlflow_server,
            experiment[0],
            now_us - (number + 1) * MINUTE_US,
            ms=7_000 if number % 2 else 100,
            error=number % 3 == 0,
        )
    store = open_store(str(tmp_path / "store"))
    MlflowLanding(source(mlflow_server, experiment[1]), store).land_through(now_us)
    rows = store.table("traces").read().drop("landed_us").to_dicts()
    copy = open_store(str(tmp_path / "counted"))
    for row in rows:
        for name in ("tags", "trace_metadata"):
            row[name] = list(row[name].items())
        row["spans"] = []
    count(copy, 1, rows)
    (tmp_path / "c.yaml").write_text(
        f"source: {{kind: mlflow, tracking_uri: '{mlflow_server.uri}', experiments: [{experiment[1]}]}}\n"
        "store: counted\ngroup_by: [experiment, environment]\n"
    )
    (tmp_path / "today.py").write_text(script(mlflow_server, experiment[1]))
    today = subprocess.run(
        [sys.executable, "today.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert today.returncode == 0, today.stderr
    by_script = {line.split()[0]: line.split()[1:] for line in today.stdout.splitlines()}
    arguments = [
        "status = 'ERROR' OR execution_time_ms > 5000",
        *("--last", "7d", "--json", "-c", str(tmp_path / "c.yaml")),
    ]
    document = json.loads(CliRunner().invoke(search.command, arguments).stdout)
    by_search = {one["trace_id"]: [one["state"], str(int(one["duration_ms"]))] for one in document["traces"]}
    assert by_search == by_script
    assert 3 < len(by_script) < 6
    assert [(one["id"], one["matched"]) for one in document["experiments"]] == [
        (experiment[0], len(by_script))
    ]


def test_a_forgotten_experiment_is_silence_there_and_an_error_here(
    tmp_path: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    log_trace(mlflow_server, experiment[0], time.time_ns() // 1000, error=True)
    text = script(mlflow_server, experiment[1]).replace("locations=experiments,", "")
    (tmp_path / "today.py").write_text(text)
    today = subprocess.run(
        [sys.executable, "today.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (today.returncode, experiment[0] in today.stdout) == (0, False)
    open_store(str(tmp_path / "store"))
    (tmp_path / "c.yaml").write_text(
        f"source: {{kind: mlflow, tracking_uri: '{mlflow_server.uri}', experiments: [{experiment[1]}]}}\n"
        "store: store\n"
    )
    arguments = ["status = 'ERROR'", "-c", str(tmp_path / "c.yaml")]
    assert f"searched {experiment[1]}: 0 traces" in CliRunner().invoke(search.command, arguments).stdout
    wrong = CliRunner().invoke(search.command, [*arguments, "--experiment", experiment[1] + "s"])
    assert isinstance(wrong.exception, Exception)
    assert exit_code_of(wrong.exception) == 2
    assert f"did you mean {experiment[1]}?" in str(wrong.exception)


def test_the_commands_of_the_page_are_conditions_and_options_that_there_are(tmp_path: Path) -> None:
    import shlex

    open_store(str(tmp_path / "store"))
    (tmp_path / "c.yaml").write_text(
        "source: {kind: mlflow, tracking_uri: 'http://127.0.0.1:9', experiments: [support-agent]}\n"
        "store: store\n"
    )
    listing, _ = (block for block in PAGE if block.language == "sh" and "tracesieve search" in block.text)
    for line in commands(listing):
        done = CliRunner().invoke(search.command, [*shlex.split(line), "-c", str(tmp_path / "c.yaml")])
        assert done.exit_code == 0, done.exception
        assert "support-agent" in done.stdout


def test_what_a_search_found_is_a_dataset_once_and_is_taken_out_again(
    tmp_path: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    place = str(tmp_path / "tracesieve.yaml")
    store = counted(tmp_path, mlflow_server.uri, experiment)
    past(store, experiment[0])
    condition = "request LIKE '%picked%' AND (user = 'eve' OR state = 'OK')"

    def typed(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(cli, [*words, "-c", place, "--json"])
        assert done.exit_code == 0, (done.output, done.exception)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def records() -> dict[str, Any]:
        client = MlflowClient(mlflow_server.uri)
        found = list(client.search_datasets([experiment[0]], "name = 'tracesieve_picked'"))
        server = client._tracking_client.store
        rows = [row for one in found for row in server._load_dataset_records(one.dataset_id)[0]]
        return {row.inputs["q"]: row for row in rows}

    into = ("search", condition, "--to-dataset", "picked")
    assert typed(*into)["dataset"] == {"name": "tracesieve_picked", "put_in": 2, "waiting": 0}
    assert set(records()) == {"picked 0", "picked 1"}
    assert all(row.tags[REASON] == f"search: {condition}" for row in records().values())
    assert all(row.tags[ADDED_BY] == "search" for row in records().values())
    (shown,) = typed("explain", "past-0")["datasets"]["in"]
    assert (shown["dataset"], shown["reason"]) == ("tracesieve_picked", f"search: {condition}")
    before = records()
    assert typed(*into)["dataset"]["waiting"] == 0
    assert records().keys() == before.keys()
    typed("undo", "--yes")
    assert records() == {}
    typed(*into)
    assert set(records()) == {"picked 0", "picked 1"}
    assert typed("search", "trace_id = 'past-0'", "--to-dataset", "tracesieve_picked", "--remove")[
        "dataset"
    ] == {
        "name": "tracesieve_picked",
        "taken_out": 1,
        "waiting": 0,
    }
    assert set(records()) == {"picked 1"}


def past(store: Store, experiment_id: str) -> None:
    """Two traces of a minute ago that no rule matches."""
    end_us = time.time_ns() // 1000 - MINUTE_US
    stream = stream_id(store, checkpoint_of(store.path))
    facts = [
        fact(f"past-{n}", 0, experiment_id=experiment_id, start_us=end_us - 1000, end_us=end_us, arrived_us=2)
        for n in range(2)
    ]
    contents = [
        {
            "trace_id": one["trace_id"],
            "request_time": dt.datetime.fromtimestamp(one["start_us"] / 1e6, dt.UTC),
            "state": "OK",
            "execution_duration_ms": 1.0,
            "request": json.dumps({"q": f"picked {one['trace_id'][-1]}"}),
            "response": '"yes"',
            "landed_us": 2,
        }
        for one in facts
    ]
    store.table("traces").append(contents)
    batch(store, 1, facts, stream=stream)
    (Path(checkpoint_of(store.path)) / "offsets" / "1").write_text("{}")  # that batch was planned too

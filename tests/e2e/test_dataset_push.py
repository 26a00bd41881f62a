"""A version pushed into an MLflow dataset of its own, on a real server; what the pages about datasets type:
docs/datasets.md, docs/patterns/persist-and-upsert.md.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from support.dataset_cases import Datasets
from support.failed_traces import counted, people_merge
from support.mlflow_traces import log_trace
from support.page_blocks import run_page
from support.servers import MlflowServer

from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.run.build import build

pytestmark = pytest.mark.e2e
NAME = "tracesieve_error_case"


def test_the_commands_of_the_page_about_datasets_work(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    store = counted(tmp_path, mlflow_server.uri, experiment)
    build(load_settings(tmp_path / "tracesieve.yaml"), (), lambda _: None)
    living = Datasets(mlflow_server.uri, experiment[0], store)
    people_merge(living, {"inputs": {"q": "tr-0"}, "expectations": {"answer": "new"}})
    (printed,) = run_page("docs/datasets.md", tmp_path, {})
    assert 'expectations answer: - -> "new"' in printed
    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == 4


def test_the_pattern_of_persisting_and_upserting_and_the_traps_of_its_script(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    now_us = time.time_ns() // 1000
    asked = [("refund?", "no"), ("refund?", "yes"), ("price?", "3")]
    traces = {
        log_trace(
            mlflow_server, experiment[0], now_us + n, error=True, inputs={"q": question}, outputs=answer
        ): (question, answer)
        for n, (question, answer) in enumerate(asked)
    }
    prefix = f"kept-{experiment[0]}"
    counted(tmp_path, mlflow_server.uri, experiment, prefix, traces)
    changes = {
        "http://127.0.0.1:5000": mlflow_server.uri,
        "support-agent": experiment[1],
        NAME: f"{prefix}_error_case",
    }
    run_page("docs/patterns/persist-and-upsert.md", tmp_path, changes)


def pushed(folder: Path, *more: str) -> dict[str, Any]:
    config = str(folder / "tracesieve.yaml")
    done = CliRunner().invoke(cli, ["datasets", "push", NAME, "-c", config, "--json", *more])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def there(living: Datasets, name: str) -> dict[str, Any]:
    (one,) = MlflowClient(living.uri).search_datasets([living.experiment_id], f"name = '{name}'")
    rows, _ = living.sink.server._store._load_dataset_records(one.dataset_id)
    return {row.inputs["q"]: row for row in rows}


def test_push_merges_a_version_once_and_leaves_what_people_edited(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    store = counted(tmp_path, mlflow_server.uri, experiment)
    config = str(tmp_path / "tracesieve.yaml")
    settings = load_settings(config)
    build(settings, (), lambda _: None)
    living = Datasets(mlflow_server.uri, experiment[0], store)
    people_merge(living, {"inputs": {"q": "tr-0"}, "expectations": {"answer": "old"}})
    build(settings, (), lambda _: None)

    first = pushed(tmp_path)
    assert first["name"] == f"{NAME}@{first['version'][:12]}"
    assert (first["inserted"], first["updated"], first["kept"]) == (4, 0, 0)
    copy = there(living, first["name"])
    assert {q: row.outputs for q, row in copy.items()} == {
        q: row.outputs for q, row in living.records().items()
    }
    assert copy["tr-0"].expectations == {"answer": "old"}
    assert pushed(tmp_path)["same"] == 4
    assert pushed(tmp_path, "--to", "golden")["inserted"] == 4
    edited = {"inputs": {"q": "tr-1"}, "expectations": {"answer": "theirs"}, "outputs": "theirs"}
    (golden,) = MlflowClient(mlflow_server.uri).search_datasets([experiment[0]], "name = 'golden'")
    living.sink.server._store.upsert_dataset_records(golden.dataset_id, [edited])
    people_merge(living, {"inputs": {"q": "tr-0"}, "expectations": {"answer": "new"}})
    people_merge(living, {"inputs": {"q": "tr-1"}, "expectations": {"answer": "ours"}})
    build(settings, (), lambda _: None)
    later = pushed(tmp_path, "--to", "golden")
    assert (later["inserted"], later["updated"], later["kept"]) == (0, 1, 1)
    assert there(living, "golden")["tr-0"].expectations == {"answer": "new"}  # the old one was ours
    assert there(living, "golden")["tr-1"].expectations == {"answer": "theirs"}
    assert there(living, "golden")["tr-1"].outputs == "theirs"
    refused = CliRunner().invoke(cli, ["datasets", "push", NAME, "-c", config, "--to", NAME])
    assert "grows by itself" in str(refused.exception)

"""Versions of datasets on a real MLflow server: people's edits come back, a build that is killed and repeated
comes to the same version, and a version is pushed into a dataset of its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.store.tracking.rest_store import RestStore
from support.dataset_cases import CONTENT, Datasets
from support.failed_traces import counted, people_merge
from support.made_facts import T0
from support.servers import MlflowServer

from sinks.mlflow.served import ServedDatasets
from store import open_store
from store.dataset_versions import DatasetVersions
from store.table import Table
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.datasets.snapshots import Snapshots
from tracesieve.datasets.versions import found, records
from tracesieve.errors import TracesieveError
from tracesieve.run.build import build
from tracesieve.run.parts import open_run
from tracesieve.run.versions import version_taker

pytestmark = pytest.mark.e2e
NAME = "tracesieve_error_case"


@pytest.fixture
def datasets(mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path) -> Iterator[Datasets]:
    before = dict(CONTENT)
    yield Datasets(mlflow_server.uri, experiment[0], open_store(str(tmp_path / "store")))
    CONTENT.clear()
    CONTENT.update(before)


def take(datasets: Datasets, at_us: int) -> list[str]:
    taken = Snapshots(datasets.store, ServedDatasets(datasets.uri)).take((), at_us)
    return [one.version for one in taken]


def test_sem_23_42_what_a_person_edits_comes_back_whatever_its_trace_becomes(
    datasets: Datasets,
) -> None:
    datasets.deliver("t2", "error_case")
    datasets.deliver("t3", "error_case")
    (first,) = take(datasets, 1)
    assert take(datasets, 2) == []
    edit = {"inputs": {"q": "other"}, "expectations": {"answer": "old"}, "tags": {"reviewed": "ada"}}
    people_merge(datasets, edit, {"inputs": {"q": "by hand"}, "expectations": {"answer": 5}})
    people_merge(datasets, {"inputs": {"q": "other"}, "expectations": {"answer": "new"}})
    (second,) = take(datasets, 3)
    CONTENT["t3"] = ('{"q": "other"}', '{"a": "amended"}')
    CONTENT["t2"] = ('{"q": "same"}', '"amended"')
    for trace in ("t2", "t3"):
        datasets.sink.deliver([_amended(trace, datasets.experiment_id)])
    (third,) = take(datasets, 4)
    by_version = {
        version: {one.inputs["q"]: one for one in records(datasets.store, NAME, version)}
        for version in (first, second, third)
    }
    assert {q: one.outputs for q, one in by_version[first].items()} == {"same": "second", "other": {"a": 3}}
    assert by_version[second]["other"].expectations == {"answer": "new"}
    assert by_version[second]["other"].own_tags == {"reviewed": "ada"}
    assert by_version[second]["by hand"].is_ours is False
    assert by_version[third]["other"] == by_version[second]["other"]  # theirs, with their output
    assert by_version[third]["same"].outputs == "amended"  # ours
    assert found(datasets.store, NAME).place.experiment.startswith("support-")


def _amended(trace_id: str, experiment_id: str) -> Any:
    from support.dataset_cases import membership

    from store.outbox import PendingMessage

    payload = membership(trace_id, experiment_id, "error_case", end_us=1_000)
    return PendingMessage("mlflow_datasets", trace_id, payload)


def test_a_dataset_that_is_gone_keeps_its_versions_and_one_made_anew_goes_on(datasets: Datasets) -> None:
    datasets.deliver("t2", "error_case")
    (first,) = take(datasets, 1)
    MlflowClient(datasets.uri).delete_dataset(datasets.dataset().dataset_id)
    assert take(datasets, 2) == []
    assert len(records(datasets.store, NAME, first)) == 1
    datasets.store = open_store(datasets.store.path)
    datasets.restart()
    datasets.deliver("t3", "error_case")
    (second,) = take(datasets, 3)
    assert [one.version for one in DatasetVersions(datasets.store).all()] == [first, second]
    assert found(datasets.store, NAME, first).place.key == found(datasets.store, NAME, second).place.key


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Ends the process right before the n-th write to the server or the store: right after the one before."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = 0
        for owner, name in ((RestStore, "_call_endpoint"), (Table, "append")):
            patch.setattr(owner, name, self._burning(getattr(owner, name)))

    def _burning(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            api = getattr(arguments[1], "DESCRIPTOR", None) if len(arguments) > 1 else None
            if api is None or api.name in ("CreateDataset", "UpsertDatasetRecords"):
                self.left -= 1
                if self.left == 0:
                    raise Killed
            return call(*arguments, **named)

        return wrapped


def test_a_build_killed_anywhere_and_repeated_comes_to_the_same_version(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    versions, kills, at = [], 0, 0
    with pytest.MonkeyPatch.context() as patch:
        fuse = Fuse(patch)
        while kills == at:
            at += 1
            folder = tmp_path / str(at)
            folder.mkdir()
            fuse.left = 0
            store = counted(folder, mlflow_server.uri, experiment, f"kill{at}")
            fuse.left = at
            while True:
                try:
                    document = build(load_settings(folder / "tracesieve.yaml"), (), lambda _: None)
                    break
                except Killed:
                    kills += 1
            fuse.left = 0
            history = DatasetVersions(open_store(store.path)).all()
            assert [one.records for one in history] == [4], f"killed at {at}"
            assert [row["version"] for row in document["datasets"]] == [history[0].version]
            versions.append(history[0].version)
    assert kills > 5
    assert len(set(versions)) == 1


def test_build_names_what_is_new_and_repeats_nothing(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    counted(tmp_path, mlflow_server.uri, experiment)
    config = str(tmp_path / "tracesieve.yaml")

    def built(*names: str) -> dict[str, Any]:
        done = CliRunner().invoke(cli, ["datasets", "build", "-c", config, "--json", *names])
        assert done.exit_code == 0, (done.output, done.exception)
        (row,) = json.loads(done.stdout)["datasets"]
        return dict(row)

    first = built()
    assert (first["new"], first["records"], first["added"], first["sources"]) == (True, 4, 4, 4)
    assert first["experiment"] == experiment[1]
    again = built(NAME)
    assert (again["new"], again["version"], again["added"]) == (False, first["version"], 0)
    shown = CliRunner().invoke(cli, ["datasets", "build", "-c", config, f"{experiment[1]}/{NAME}"]).output
    assert "nothing new" in shown
    with pytest.raises(TracesieveError, match=f"did you mean {NAME}"):
        build(load_settings(config), ["tracesieve_eror_case"], lambda _: None)


def test_build_beside_a_run_is_done_by_the_run(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    counted(tmp_path, mlflow_server.uri, experiment)
    settings = load_settings(tmp_path / "tracesieve.yaml")
    answers: list[Any] = []
    lines: list[str] = []
    with ExitStack() as stack:
        run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=T0)
        taker = version_taker(run)
        assert taker is not None
        taker.step(time.time_ns() // 1000 - 1)
        waits = threading.Thread(
            target=lambda: answers.append(build(settings, (), lines.append)), daemon=True
        )
        waits.start()
        until = time.monotonic() + 60
        while not answers and time.monotonic() < until:
            now = time.time_ns() // 1000
            run.follow_past(now)
            run.followed_us = now
            run.deliver_once()
            taker.step(time.time_ns() // 1000)
            waits.join(0.2)
    assert "the run that goes on does it" in lines[0]
    (row,) = answers[0]["datasets"]
    assert (row["new"], row["records"]) == (True, 4)

"""``tracesieve datasets build`` and ``push`` where there is no server, no store, or no wish for datasets."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from support.versioned_records import PLACE, record, taken

import tracesieve.run.build
from sinks.mlflow.records import RecordKey, Records, RecordSource
from store import Store, open_store
from store.dataset_versions import DatasetVersions
from store.lease import holder
from store.outbox import Outbox, OutboxMessage
from store.schemas import TRACES
from tracesieve.cli import cli
from tracesieve.exits import exit_code_of

NOWHERE = "http://127.0.0.1:9"
CONFIG = "source: {kind: delta_traces, table: traces}\nstore: st\nmetrics: null\n"


def refused(folder: Path, *arguments: str) -> tuple[int | None, str]:
    done = CliRunner().invoke(cli, ["datasets", arguments[0], "-c", str(folder / "c.yaml"), *arguments[1:]])
    assert isinstance(done.exception, Exception), done.output
    return exit_code_of(done.exception), str(done.exception)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that has written a record to a server that is gone."""
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))
    (tmp_path / "c.yaml").write_text(f"{CONFIG}mlflow: {{tracking_uri: {NOWHERE}}}\n")
    store = open_store(str(tmp_path / "st"))
    key = RecordKey(PLACE.dataset, "d-1", "0")
    Records(store.table("records")).change({key: {"tr-1": RecordSource("tr-1", 1)}})
    return store


def test_a_server_that_is_down_is_one_message_and_leaves_no_lease(store: Store, tmp_path: Path) -> None:
    code, message = refused(tmp_path, "build")
    assert (code, "MLflow cannot be reached" in message) == (3, True), message
    assert DatasetVersions(store).all() == []
    assert holder(store.path) is None


def test_records_that_wait_are_no_version(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracesieve.run.build, "_MOST_S", 1.0)
    why = {"rules": [{"rule": "r", "hash": "h"}], "reason": ""}
    payload = {"trace_id": "tr-2", "start_us": 1, "end_us": 2, "categories": {"error_case": why}}
    Outbox(store).enqueue([OutboxMessage("mlflow_datasets", "tr-2", payload)], 1)
    code, message = refused(tmp_path, "build")
    assert code == 3
    assert message.startswith("1 delivery of records still waiting (") and "repeat the command" in message


def test_a_config_without_datasets_says_what_to_write(store: Store, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    code, message = refused(tmp_path, "build")
    assert (code, "mlflow: {tracking_uri" in message) == (2, True)
    taken(store, record("one"))
    code, message = refused(tmp_path, "push", PLACE.dataset)
    assert (code, "mlflow: {tracking_uri" in message) == (2, True)


def test_without_a_store_there_is_nothing_to_build(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"{CONFIG}mlflow: {{tracking_uri: {NOWHERE}}}\n")
    code, message = refused(tmp_path, "build")
    assert (code, "there is no store" in message) == (3, True)
    assert not (tmp_path / "st").exists()


def test_push_to_a_server_that_is_down_or_to_a_set_that_grows(store: Store, tmp_path: Path) -> None:
    taken(store, record("one"))
    code, message = refused(tmp_path, "push", PLACE.dataset)
    assert (code, "MLflow cannot be reached" in message) == (3, True), message
    for name, words in ((PLACE.dataset, "grows by itself"), ("a' OR name != 'b", "are expected")):
        code, message = refused(tmp_path, "push", PLACE.dataset, "--to", name)
        assert (code, words in message) == (2, True), message

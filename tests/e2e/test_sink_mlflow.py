"""Tags, dataset records and undo against a real MLflow server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.dataset_cases import CONTENT, Datasets, membership
from support.made_facts import fact
from support.mlflow_traces import logged_trace
from support.servers import MlflowServer

from sinks.delivery import Delivery
from sinks.errors import Refused
from sinks.mlflow.dataset_server import DatasetServer
from sinks.mlflow.origin import FAILED_SPAN, MESSAGE, PATTERN, TRACES
from sinks.mlflow.provenance import SOURCES, WITHDRAWN, edited
from sinks.mlflow.tags import CANDIDATE, MlflowTags
from sinks.undo import undo
from store import Store, open_store
from store.content import TraceTable
from store.outbox import Outbox, OutboxMessage

pytestmark = pytest.mark.e2e


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def datasets(mlflow_server: MlflowServer, experiment: tuple[str, str], store: Store) -> Datasets:
    return Datasets(mlflow_server.uri, experiment[0], store)


def test_sem_23_equal_inputs_share_a_record_with_the_latest_output_and_all_sources(
    datasets: Datasets,
) -> None:
    datasets.deliver("t2", "error_case")
    datasets.deliver("t1", "error_case")  # ended earlier, came later
    datasets.deliver("t1", "error_case")
    records = datasets.records()
    assert list(records) == ["same"]
    assert records["same"].outputs == "second"
    assert json.loads(records["same"].tags[SOURCES]) == ["t1", "t2"]
    assert records["same"].tags["tracesieve.rules"] == "tool-errors@abc"
    assert records["same"].tags["tracesieve.reason"] == "tool-errors matched"


@pytest.mark.parametrize("order", [("t1", "t2"), ("t2", "t1"), ("t1 t2",)])
def test_sem_23_a_record_says_why_it_is_there_in_any_order(
    datasets: Datasets, order: tuple[str, ...]
) -> None:
    failure = {
        "span_type": "TOOL",
        "span_name": "search",
        "error_type": "E",
        "message": "no 7",
        "handled": False,
    }
    rows = [fact("t1", 1, failure=json.dumps(failure), end_us=1), fact("t2", 1, failure=None, end_us=2)]
    datasets.store.table("facts").append(rows)
    for together in order:
        datasets.together(*((trace, "error_case") for trace in together.split()))
    tags = datasets.records()["same"].tags
    assert {key: tags.get(key) or "" for key in (FAILED_SPAN, PATTERN, MESSAGE)} == dict.fromkeys(
        (FAILED_SPAN, PATTERN, MESSAGE), ""
    )
    assert tags[TRACES] == "2: t2, t1"
    datasets.deliver("t2")  # what is left is the trace that failed
    tags = datasets.records()["same"].tags
    assert (tags[FAILED_SPAN], tags[PATTERN], tags[MESSAGE]) == ("search (TOOL)", "no *", "no 7")
    assert (tags[TRACES], tags["tracesieve.last_seen"]) == ("1: t1", "1970-01-01 00:00:00 UTC")


def test_a_batch_makes_a_handful_of_calls_however_many_records_it_has(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.rest_store import RestStore

    calls: list[str] = []
    call = RestStore._call_endpoint

    def counted(self: Any, api: Any, *more: Any, **named: Any) -> Any:
        calls.append(api.DESCRIPTOR.name)
        return call(self, api, *more, **named)

    traces = [f"n{i}" for i in range(40)]
    for trace in traces:
        monkeypatch.setitem(CONTENT, trace, (json.dumps({"q": trace}), '"a"'))
    monkeypatch.setattr(RestStore, "_call_endpoint", counted)
    datasets.together(*((trace, "error_case") for trace in traces))
    assert (calls.count("UpsertDatasetRecords"), len(calls) < 10) == (1, True), calls
    monkeypatch.undo()
    assert len(datasets.records()) == 40


def test_sem_23_withdrawal_takes_the_source_out_and_deletes_the_last(datasets: Datasets) -> None:
    datasets.deliver("t1", "error_case")
    datasets.deliver("t2", "error_case")
    datasets.deliver("t2")
    assert datasets.records()["same"].outputs == "first"
    assert json.loads(datasets.records()["same"].tags[SOURCES]) == ["t1"]
    datasets.restart()
    datasets.deliver("t1")
    assert datasets.records() == {}
    datasets.deliver("t1", "error_case")
    assert list(datasets.records()) == ["same"]


def test_sem_23_an_edited_record_is_kept_and_tagged_withdrawn(datasets: Datasets) -> None:
    datasets.deliver("t3", "error_case")
    edit = {"inputs": {"q": "other"}, "expectations": {"answer": 4}}
    datasets.sink.server._store.upsert_dataset_records(datasets.dataset().dataset_id, [edit])
    datasets.deliver("t3")
    assert datasets.records()["other"].tags[WITHDRAWN] == "true"
    assert datasets.records()["other"].expectations == {"answer": 4}


def test_expectations_of_the_config_are_attached_follow_it_and_never_take_a_persons_place(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_config(**expectations: Any) -> None:
        datasets.restart(sets={"error_case": {"expectations": expectations}})

    monkeypatch.setitem(CONTENT, "t3", ('{"q": "of ada@example.com"}', '"x"'))
    datasets.deliver("t1", "error_case")  # before the config had any
    of_config(guidelines=["polite"], expected_response="yes")
    datasets.deliver("t3", "error_case")
    of_t1, of_t3 = "same", "of [EMAIL_1]"
    for record in datasets.records().values():
        assert record.expectations == {"guidelines": ["polite"], "expected_response": "yes"}
        assert not edited(record)
    edit = {"inputs": {"q": of_t3}, "expectations": {"expected_response": "no"}}
    datasets.sink.server._store.upsert_dataset_records(datasets.dataset().dataset_id, [edit])
    wanted = {"guidelines": ["short"], "expected_response": "maybe", "extra": {"a": [1.5]}}
    of_config(**wanted, contact="ada@example.com")
    datasets.together(("t2", "error_case"), ("t3",))  # one gets another output, the other leaves
    records = datasets.records()
    assert records[of_t1].expectations == {**wanted, "contact": "[EMAIL_1]"}
    assert (records[of_t1].outputs, edited(records[of_t1])) == ("second", False)
    assert records[of_t3].expectations == {"guidelines": ["polite"], "expected_response": "no"}
    assert (records[of_t3].tags[WITHDRAWN], edited(records[of_t3])) == ("true", True)
    datasets.deliver("t3", "error_case")
    theirs = {**wanted, "expected_response": "no", "contact": "[EMAIL_1]"}
    assert datasets.records()[of_t3].expectations == theirs
    written = {one.dataset_record_id: one.last_update_time for one in datasets.records().values()}
    of_config(guidelines=["short"])  # nothing is to be changed, and MLflow takes no name away
    datasets.together(("t1", "error_case"), ("t2", "error_case"), ("t3", "error_case"))
    assert written == {one.dataset_record_id: one.last_update_time for one in datasets.records().values()}
    datasets.together(("t1",), ("t2",))
    assert list(datasets.records()) == [of_t3]


def test_sem_23_a_record_a_person_deleted_stays_deleted(datasets: Datasets) -> None:
    datasets.deliver("t1", "error_case")
    dataset_id = datasets.dataset().dataset_id
    datasets.sink.server._store.delete_dataset_records(
        dataset_id, [datasets.records()["same"].dataset_record_id]
    )
    datasets.restart()
    datasets.deliver("t2", "error_case")
    datasets.deliver("t1")
    datasets.deliver("t1", "error_case")
    assert datasets.records() == {}


def test_sem_23_a_kill_before_our_own_deletion_is_finished_by_the_next_delivery(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.deliver("t1", "error_case")
    with monkeypatch.context() as patch:
        patch.setattr(DatasetServer, "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            datasets.deliver("t1")
    datasets.restart()
    datasets.deliver("t2", "error_case")
    assert json.loads(datasets.records()["same"].tags[SOURCES]) == ["t2"]


def test_sem_20_content_comes_from_the_trace_table_by_id_and_day(store: Store) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    row = {
        "trace_id": "t1",
        "request_time": start,
        "request": '{"q": 1}',
        "response": "plain",
        "landed_us": 1,
    }
    store.table("traces").append([row])
    start_us = int(start.timestamp() * 1e6)
    table = TraceTable(store.table("traces").uri)
    assert table.contents({"t1": start_us, "t2": start_us}) == {"t1": ('{"q": 1}', "plain")}
    assert table.contents({"t1": start_us + 3 * 86_400_000_000}) == {}


def test_sem_20_content_that_is_gone_is_a_dead_letter(datasets: Datasets) -> None:
    with pytest.raises(Refused):
        datasets.deliver("t9", "error_case")


def test_undo_takes_back_every_tag_and_record(datasets: Datasets, mlflow_server: MlflowServer) -> None:
    trace = logged_trace(mlflow_server.uri, datasets.experiment_id)
    outbox, tags = Outbox(datasets.store), MlflowTags(mlflow_server.uri)
    outbox.enqueue(
        [
            OutboxMessage(
                "mlflow_tags",
                trace,
                {
                    "trace_id": trace,
                    "category": "error_case",
                    "rules": ["r"],
                    "categories": {"error_case": ["r"]},
                },
            ),
            OutboxMessage("mlflow_datasets", "t1", membership("t1", datasets.experiment_id, "error_case")),
        ],
        1,
    )
    deliveries = [Delivery(tags, outbox), Delivery(datasets.sink, outbox)]
    assert sum(delivery.step(2) for delivery in deliveries) == 2
    assert list(datasets.records()) == ["same"]
    assert undo(datasets.store, deliveries, lambda: 3, 20).withdrawn == 2
    assert datasets.found() == []  # it was made here, and is empty now
    left = tags._client.get_trace(trace, display=False).info.tags
    assert not [key for key in left if key == CANDIDATE or key.startswith("tracesieve.")]
    assert undo(datasets.store, deliveries, lambda: 4, 5).withdrawn == 0

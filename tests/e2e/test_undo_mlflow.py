"""``tracesieve undo`` against a real MLflow server: tags, records, and datasets that are empty then."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.made_facts import fact
from support.mlflow_traces import log_trace
from support.servers import MlflowServer

from sinks.delivery import Delivery
from sinks.drain import drain
from sinks.mlflow.datasets import MlflowDatasets
from sinks.registry import open_sinks
from store import Store, open_store
from store.outbox import Outbox, OutboxMessage
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.config.sink_context import sink_context

pytestmark = pytest.mark.e2e
SINKS = ("mlflow_tags", "mlflow_datasets")


class Monitor:
    """A store whose messages went to the server, as a run would have done it."""

    def __init__(self, folder: Path, server: MlflowServer, experiment: tuple[str, str]) -> None:
        from mlflow import MlflowClient

        self.id, self.name = experiment
        self.config = folder / "c.yaml"
        self.config.write_text(
            f"source: {{kind: mlflow, tracking_uri: '{server.uri}', experiments: [{self.name}]}}\n"
            f"store: st\nmlflow: {{tracking_uri: '{server.uri}'}}\n"
        )
        self.server, self.client = server, MlflowClient(server.uri)
        self.store: Store = open_store(str(folder / "st"))

    def candidate(self, question: str, *categories: str) -> str:
        """A trace on the server, landed and counted, which rules of these categories match; its id."""
        now_us = int(datetime.now(UTC).timestamp() * 1e6)
        trace_id = log_trace(self.server, self.id, now_us, inputs={"q": question})
        start = datetime.fromtimestamp(now_us / 1e6, UTC)
        row = {"trace_id": trace_id, "request_time": start, "request": json.dumps({"q": question})}
        self.store.table("traces").append([{**row, "response": '"ok"', "landed_us": now_us}])
        times = {"start_us": now_us, "end_us": now_us}
        self.store.table("facts").append([fact(trace_id, 0, experiment=self.name, **times)])
        why = {"rules": [{"rule": "r", "hash": "h"}], "reason": "r matched"}
        member = {"trace_id": trace_id, **times, "experiment_id": self.id}
        self.deliver(
            OutboxMessage(
                "mlflow_tags", trace_id, {"trace_id": trace_id, "category": categories[0], "rules": ["r"]}
            ),
            OutboxMessage(
                "mlflow_datasets", trace_id, {**member, "categories": dict.fromkeys(categories, why)}
            ),
        )
        return trace_id

    def deliver(self, *messages: OutboxMessage) -> None:
        outbox = Outbox(self.store)
        outbox.enqueue(messages, 1)
        sinks = open_sinks(SINKS, sink_context(load_settings(self.config), self.store))
        assert drain([Delivery(sink, outbox) for sink in sinks], outbox, lambda: 2, 60) == 0

    def undo(self, *arguments: str) -> Result:
        done = CliRunner().invoke(cli, ["undo", "-c", str(self.config), *arguments], catch_exceptions=True)
        assert done.exit_code == 0, done.exception
        return done

    def datasets(self) -> dict[str, Any]:
        return {one.name: one for one in self.client.search_datasets([self.id])}

    def records(self, name: str) -> list[Any]:
        loaded, _ = self.client._tracking_client.store._load_dataset_records(self.datasets()[name].dataset_id)
        return list(loaded)

    def add_record(self, name: str, question: str) -> None:
        """A record by hand."""
        row = {"inputs": {"q": question}, "expectations": {"answer": "by hand"}}
        self.client._tracking_client.store.upsert_dataset_records(self.datasets()[name].dataset_id, [row])

    def our_tags(self, trace_id: str) -> set[str]:
        tags = self.client.get_trace(trace_id, display=False).info.tags
        return {key for key in tags if key == "eval_candidate" or key.startswith("tracesieve.")}


@pytest.fixture
def monitor(tmp_path: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]) -> Monitor:
    return Monitor(tmp_path, mlflow_server, experiment)


def test_what_it_says_it_will_take_back_is_what_it_takes_back(monitor: Monitor) -> None:
    traces = [monitor.candidate("a", "one"), monitor.candidate("a", "one", "two")]
    plan = json.loads(monitor.undo("--dry-run", "--json").stdout)["plan"]
    tags = sum(len(monitor.our_tags(trace)) for trace in traces)
    there = {name: len(monitor.records(name)) for name in monitor.datasets()}
    assert plan == {
        "tags": tags,
        "traces": 2,
        "assessments": 0,
        "issues": 0,
        "records": 2,
        "datasets": there,
        "experiments": [
            {
                "experiment": monitor.name,
                "traces": 2,
                "tags": tags,
                "records": 2,
                "assessments": 0,
                "issues": 0,
            }
        ],
    }
    done = json.loads(monitor.undo("--json").stdout)
    assert (done["plan"], done["waiting"]) == (plan, 0)
    assert done["datasets_deleted"] == ["tracesieve_one", "tracesieve_two"]
    assert monitor.datasets() == {}
    assert [monitor.our_tags(trace) for trace in traces] == [set(), set()]
    again = json.loads(monitor.undo("--json").stdout)
    assert (again["withdrawn"], again["datasets_deleted"], again["plan"]["tags"]) == (0, [], 0)
    monitor.candidate("b", "one")  # what is deleted is made anew when it is needed
    assert len(monitor.records("tracesieve_one")) == 1


def test_a_dataset_that_is_not_ours_alone_stays(monitor: Monitor) -> None:
    by_hand = monitor.client.create_dataset("tracesieve_made_by_hand", [monitor.id])
    for category in ("made_by_hand", "with_a_record", "with_a_tag", "with_a_deletion", "ours"):
        monitor.candidate("a", category)
    assert monitor.datasets()["tracesieve_made_by_hand"].dataset_id == by_hand.dataset_id
    monitor.add_record("tracesieve_with_a_record", "a person's")
    monitor.client.set_dataset_tags(
        monitor.datasets()["tracesieve_with_a_tag"].dataset_id, {"team": "support"}
    )
    (deleted,) = monitor.records("tracesieve_with_a_deletion")
    store = monitor.client._tracking_client.store
    store.delete_dataset_records(
        monitor.datasets()["tracesieve_with_a_deletion"].dataset_id, [deleted.dataset_record_id]
    )
    monitor.candidate("a", "with_a_deletion")  # seen, and remembered: it stays deleted
    done = json.loads(monitor.undo("--yes", "--json").stdout)
    assert done["datasets_deleted"] == ["tracesieve_ours"]
    assert set(monitor.datasets()) == {
        "tracesieve_made_by_hand",
        "tracesieve_with_a_record",
        "tracesieve_with_a_tag",
        "tracesieve_with_a_deletion",
    }
    assert [one.inputs for one in monitor.records("tracesieve_with_a_record")] == [{"q": "a person's"}]
    assert monitor.records("tracesieve_made_by_hand") == []


def test_ended_before_datasets_are_deleted_the_next_one_deletes_them(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor.candidate("a", "one")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowDatasets, "remove_empty", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        CliRunner().invoke(cli, ["undo", "-c", str(monitor.config)])
    assert set(monitor.datasets()) == {"tracesieve_one"}
    assert json.loads(monitor.undo("--json").stdout)["datasets_deleted"] == ["tracesieve_one"]
    assert monitor.datasets() == {}

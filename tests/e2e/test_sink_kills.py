"""Tags and records when the process is killed between any two calls to the server or commits to the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.servers import MlflowServer

from sinks.delivery import Delivery
from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.datasets import MlflowDatasets
from sinks.mlflow.provenance import SOURCES
from sinks.mlflow.tags import CANDIDATE, CATEGORY, OF_CATEGORY, RULES, MlflowTags
from store import open_store
from store.outbox import Outbox, OutboxMessage
from store.table import Table

pytestmark = pytest.mark.e2e
CONTENT = {
    "t1": ('{"q": "same"}', '"first"'),
    "t2": ('{"q": "same"}', '"second"'),
    "t3": ('{"q": "other"}', '{"a": 3}'),
    "t4": ("plain text", None),
}


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Ends the process right before the n-th call, which is right after the one before."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from mlflow.store.tracking.rest_store import RestStore

        self.left: int | None = None
        for owner, name in ((RestStore, "_call_endpoint"), (Table, "append")):
            patch.setattr(owner, name, self._burning(getattr(owner, name)))

    def _burning(self, call: Any) -> Any:
        def wrapped(*args: Any, **more: Any) -> Any:
            self._burn()
            return call(*args, **more)

        return wrapped

    def _burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                self.left = None
                raise Killed


@pytest.fixture
def fuse() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield Fuse(patch)


class Contents:
    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        return {trace: CONTENT[trace] for trace in starts_us if trace in CONTENT}

    def labels(self, starts_us: Mapping[str, int]) -> dict[str, dict[str, str]]:
        return {trace: {} for trace in starts_us}


def membership(trace_id: str, experiment_id: str, *categories: str) -> OutboxMessage:
    why = {"rules": [{"rule": "r", "hash": "h"}], "reason": "because"}
    payload = {
        "trace_id": trace_id,
        "start_us": 1,
        "end_us": int(trace_id[-1]),
        "experiment_id": experiment_id,
        "categories": dict.fromkeys(categories, why),
    }
    return OutboxMessage("mlflow_datasets", trace_id, payload)


def shown(uri: str, experiment_id: str, prefix: str) -> dict[str, Any]:
    """By dataset and inputs: the output and the sources."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found: dict[str, Any] = {}
    for dataset in client.search_datasets([experiment_id], f"name LIKE '{prefix}%'"):
        records, _ = client._tracking_client.store._load_dataset_records(dataset.dataset_id)
        name = dataset.name.removeprefix(prefix)
        assert name not in found, "two datasets of one name"
        found[name] = {json.dumps(one.inputs): (one.outputs, one.tags[SOURCES]) for one in records}
    return found


def test_sem_21_23_records_are_the_same_wherever_it_is_killed(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, fuse: Fuse
) -> None:
    number, _ = experiment
    rounds = [
        [membership(t, number, "a") for t in CONTENT],
        [
            membership("t1", number),
            membership("t2", number, "b"),
            membership("t3", number),
            membership("t4", number, "a", "b"),
        ],
    ]
    wanted = {
        "_a": {'{"input": "plain text"}': (None, '["t4"]')},
        "_b": {'{"input": "plain text"}': (None, '["t4"]'), '{"q": "same"}': ("second", '["t2"]')},
    }
    at = kills = 0
    while True:
        at += 1
        prefix, burnt = f"kill{at}", False
        outbox = Outbox(store := open_store(str(tmp_path / prefix)))
        fuse.left = at
        for messages in rounds:
            while True:
                try:
                    outbox = Outbox(store := open_store(str(tmp_path / prefix)))
                    sink = MlflowDatasets(mlflow_server.uri, DatasetsConfig(prefix=prefix), store, Contents())
                    outbox.enqueue(messages, 1)
                    Delivery(sink, outbox).step(2)
                    assert outbox.count() == 0
                    break
                except Killed:
                    burnt = True
        unburnt, fuse.left = fuse.left is not None, None
        assert shown(mlflow_server.uri, number, prefix) == wanted, f"killed at step {at}"
        kills += burnt
        if unburnt:
            break
    assert kills > 15


def ours_among(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key == CANDIDATE or key.startswith("tracesieve.")}


def whole(payload: dict[str, Any]) -> dict[str, str]:
    """The tags that a message asks for."""
    category = payload["category"]
    if not category:
        return {}
    of_categories = {OF_CATEGORY + name: ",".join(ids) for name, ids in payload["categories"].items()}
    rules = ",".join(sorted(payload["rules"]))
    return {CANDIDATE: category, CATEGORY: category, RULES: rules, **of_categories}


def test_sem_21_22_tags_are_the_same_wherever_it_is_killed(
    mlflow_server: MlflowServer,
    experiment: tuple[str, str],
    tmp_path: Path,
    fuse: Fuse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow
    from mlflow import MlflowClient

    monkeypatch.setattr("sinks.mlflow.tags.WORKERS", 1)
    mlflow.set_tracking_uri(mlflow_server.uri)
    client = MlflowClient(mlflow_server.uri)
    span = client.start_trace("agent", experiment_id=experiment[0], inputs={"q": 1})
    client.end_trace(span.trace_id, outputs={"a": 1})
    trace = str(span.trace_id)
    at = kills = 0
    while True:
        at += 1
        burnt = False
        fuse.left = at
        for category, rules, categories in (
            ("error_case", ["b", "a"], {"error_case": ["b"], "refund_error": ["a"]}),
            ("slow_response", ["s"], {"slow_response": ["s"]}),
            (None, [], {}),
        ):
            payload = {"trace_id": trace, "category": category, "rules": rules, "categories": categories}
            message = OutboxMessage("mlflow_tags", trace, payload)
            while True:
                try:
                    outbox = Outbox(open_store(str(tmp_path / str(at))))
                    outbox.enqueue([message], 1)
                    Delivery(MlflowTags(mlflow_server.uri), outbox).step(2)
                    assert outbox.count() == 0
                    break
                except Killed:
                    burnt = True
            left, fuse.left = fuse.left, None
            found = client.get_trace(trace, display=False).info.tags
            assert ours_among(found) == whole(payload), f"killed at step {at}"
            fuse.left = left
        kills += burnt
        if fuse.left is not None:
            fuse.left = None
            break
    assert kills > 12

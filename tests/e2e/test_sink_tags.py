"""Tags on a real MLflow server: set, changed, taken away, and found by the filters that the docs name."""

from __future__ import annotations

import itertools

import pytest
from support.mlflow_traces import logged_trace
from support.servers import MlflowServer

from sinks.errors import Refused, RetryLater
from sinks.mlflow.tags import CANDIDATE, CATEGORY, OF_CATEGORY, RULES, MlflowTags
from store.outbox import PendingMessage

pytestmark = pytest.mark.e2e


def test_sem_22_tags_are_set_changed_and_withdrawn(
    mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    from mlflow import MlflowClient

    client, sink = MlflowClient(mlflow_server.uri), MlflowTags(mlflow_server.uri)
    trace = logged_trace(mlflow_server.uri, experiment[0])

    def deliver(category: str | None, *rules: str) -> dict[str, str]:
        payload = {"trace_id": trace, "category": category, "rules": list(rules)}
        if rules:
            payload["categories"] = {str(category): sorted(rules), "also": ["z"]}
        assert [one.error for one in sink.deliver([PendingMessage("mlflow_tags", trace, payload)])] == [None]
        tags = client.get_trace(trace, display=False).info.tags
        return {key: tags[key] for key in tags if key == CANDIDATE or key.startswith("tracesieve.")}

    assert deliver("error_case", "b", "a") == {
        CANDIDATE: "error_case",
        RULES: "a,b",
        CATEGORY: "error_case",
        OF_CATEGORY + "error_case": "a,b",
        OF_CATEGORY + "also": "z",
    }
    assert deliver("slow_response", "s") == {
        CANDIDATE: "slow_response",
        RULES: "s",
        CATEGORY: "slow_response",
        OF_CATEGORY + "slow_response": "s",
        OF_CATEGORY + "also": "z",
    }
    client.set_trace_tag(trace, CANDIDATE, "mine")
    assert deliver("error_case", "a")[CANDIDATE] == "mine"
    assert deliver(None) == {CANDIDATE: "mine"}


FILTERS = {
    "tags.`tracesieve.category.refund_error` IS NOT NULL": ["first", "both"],
    "tags.`tracesieve.category.refund_error` LIKE '%refund%'": ["first", "both"],
    "tags.`tracesieve.category.refund_error` LIKE '%refund-late%'": ["both"],
    "tags.`tracesieve.category.refund_error` RLIKE '(^|,)refund(,|$)'": ["first"],
    "tags.`tracesieve.category.refund_error` IS NULL AND tags.eval_candidate LIKE '%'": ["other"],
    "tags.`tracesieve.category.a--b` IS NOT NULL": ["other", "both"],
    "tags.eval_candidate = 'refund_error'": ["first"],
}


def test_sem_22_every_category_can_be_found_on_the_server(
    mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    from mlflow import MlflowClient

    client, sink = MlflowClient(mlflow_server.uri), MlflowTags(mlflow_server.uri)
    categories: dict[str, dict[str, list[str]]] = {
        "first": {"refund_error": ["a", "refund"]},
        "both": {"a--b": ["c"], "refund_error": ["refund-late"]},
        "other": {"a--b": ["c"]},
    }
    traces = {logged_trace(mlflow_server.uri, experiment[0]): name for name in categories}
    payloads = [
        {
            "trace_id": trace,
            "category": next(iter(categories[name])),
            "rules": sorted(itertools.chain(*categories[name].values())),
            "categories": categories[name],
        }
        for trace, name in traces.items()
    ]
    messages = [PendingMessage("mlflow_tags", str(one["trace_id"]), one) for one in payloads]
    assert {one.error for one in sink.deliver(messages)} == {None}
    for text, wanted in FILTERS.items():
        found = client.search_traces(locations=[experiment[0]], filter_string=text)
        assert {traces[one.info.trace_id] for one in found} == set(wanted), text


def test_sem_21_a_missing_trace_is_refused_and_a_dead_server_is_tried_again(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = PendingMessage(
        "mlflow_tags", "tr-none", {"trace_id": "tr-none", "category": "a", "rules": ["r"]}
    )
    assert isinstance(MlflowTags(mlflow_server.uri).deliver([message])[0].error, Refused)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RetryLater):
        MlflowTags("http://127.0.0.1:9").deliver([message])

"""Findings as assessments on a real MLflow server: once, amended, withdrawn; ours amend no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback
from support.made_facts import fact
from support.mlflow_traces import logged_trace
from support.servers import MlflowServer

from sinks.delivery import Delivery
from sinks.errors import Refused
from sinks.mlflow.assessments import MlflowAssessments
from sinks.undo import plan, undo
from store import Store, open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage
from streams.sources.mlflow.rows import info_row, light_hash

pytestmark = pytest.mark.e2e
FAILURE = {"span_type": "TOOL", "span_name": "search", "error_type": "E", "message": "no 7", "handled": False}


class Findings:
    """The sink, a trace and what the server says of it."""

    def __init__(self, server: MlflowServer, experiment_id: str, store: Store) -> None:
        self.trace = logged_trace(server.uri, experiment_id)
        store.table("facts").append([fact(self.trace, 1, failure=json.dumps(FAILURE))])
        self.client = MlflowClient(server.uri)
        self.store, self.sink = store, MlflowAssessments(server.uri, store)

    def payload(self, *rules: str, trace: str = "") -> dict[str, Any]:
        more = {"categories": {"error_case": list(rules)}} if rules else {}
        category = "error_case" if rules else None
        return {"trace_id": trace or self.trace, "category": category, "rules": list(rules), **more}

    def deliver(self, *rules: str, trace: str = "") -> dict[str, str]:
        (outcome,) = self.sink.deliver([PendingMessage("x", self.trace, self.payload(*rules, trace=trace))])
        if outcome.error is not None:
            raise outcome.error
        return dict(json.loads(outcome.result))

    def present(self) -> dict[str, Any]:
        found = [
            one for one in self.client.get_trace(self.trace, display=False).info.assessments if one.valid
        ]
        assert len({(one.name, one.source.source_id) for one in found}) == len(found)
        return {one.name: one for one in sorted(found, key=lambda one: one.source.source_id)}  # ours wins

    def row(self) -> dict[str, Any]:
        return info_row(self.client.get_trace(self.trace, display=False).info, None)


@pytest.fixture
def found(mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path) -> Findings:
    return Findings(mlflow_server, experiment[0], open_store(str(tmp_path / "store")))


def test_sem_01_findings_are_written_once_changed_and_withdrawn_and_amend_nothing(found: Findings) -> None:
    theirs = Feedback(name="ok", value=True, source=AssessmentSource("HUMAN", "ana"), trace_id=found.trace)
    alike = Feedback(
        name="tracesieve.a", value=1, source=AssessmentSource("HUMAN", "ana"), trace_id=found.trace
    )
    for one in (theirs, alike):
        found.client._tracing_client.store.create_assessment(one)
    before, hashed = found.row(), light_hash(found.row())
    assert found.deliver("a", "b") == {"tracesieve.a": "created", "tracesieve.b": "created"}
    assert found.deliver("a", "b") == {}
    ours = found.present()["tracesieve.b"]
    assert (ours.value, ours.rationale) == ("error_case", "search (TOOL) failed first: E: no *")
    assert (str(ours.source.source_type), ours.source.source_id) == ("CODE", "tracesieve")
    assert (found.row(), light_hash(found.row())) == (before, hashed)
    found.store.table("facts").append(
        [
            fact(found.trace, 1, weight=-1, failure=json.dumps(FAILURE)),
            fact(found.trace, 1, failure=json.dumps({**FAILURE, "span_name": "other"}), content_hash=2),
        ]
    )
    assert found.deliver("b") == {"tracesieve.a": "deleted", "tracesieve.b": "updated"}
    assert found.present()["tracesieve.b"].rationale == "other (TOOL) failed first: E: no *"
    assert found.deliver() == {"tracesieve.b": "deleted"}
    assert {(one.name, one.value) for one in found.present().values()} == {("ok", True), ("tracesieve.a", 1)}
    assert found.deliver() == {}


def test_a_delivery_that_is_killed_is_finished_and_nothing_is_there_twice(
    found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = found.sink._store
    real, calls = server.create_assessment, []

    def killed(one: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(one)
        return real(one)

    with monkeypatch.context() as patch:
        patch.setattr(server, "create_assessment", killed)
        with pytest.raises(KeyboardInterrupt):
            found.deliver("a", "b")
    assert found.deliver("a", "b") == {"tracesieve.b": "created"}
    real(calls[0])  # as one that a client sent again after its answer was lost
    assert found.deliver("a", "b") == {"tracesieve.a": "deleted"}
    assert set(found.present()) == {"tracesieve.a", "tracesieve.b"}


def test_one_that_a_person_overrides_stays_theirs(found: Findings) -> None:
    found.deliver("a")
    ours = found.present()["tracesieve.a"]
    theirs = Feedback(
        name="tracesieve.a",
        value="no failure",
        source=AssessmentSource("HUMAN", "ana"),
        trace_id=found.trace,
        overrides=ours.assessment_id,
    )
    found.client._tracing_client.store.create_assessment(theirs)
    assert found.deliver("a") == {}
    assert found.present()["tracesieve.a"].value == "no failure"


def test_a_trace_that_is_gone_is_refused_and_undo_takes_everything_back(found: Findings) -> None:
    with pytest.raises(Refused):
        found.deliver("a", trace="tr-" + "0" * 32)
    outbox = Outbox(found.store)
    outbox.enqueue([OutboxMessage("mlflow_assessments", found.trace, found.payload("a", "b"))], 1)
    delivery = Delivery(found.sink, outbox)
    assert delivery.step(2) == 1
    assert (plan(found.store).assessments, plan(found.store).tags) == (2, 0)
    assert undo(found.store, [delivery], lambda: 3, 20).withdrawn == 1
    assert found.present() == {}

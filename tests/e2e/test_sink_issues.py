"""Error patterns as issues on a real MLflow server: once, changed, withdrawn; what people change stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, IssueReference
from mlflow.entities.issue import IssueSeverity, IssueStatus
from support.made_facts import T0, fact
from support.mlflow_traces import logged_trace
from support.servers import MlflowServer, free_port

from sinks.delivery import Delivery
from sinks.errors import Refused
from sinks.mlflow.config import MlflowTarget
from sinks.mlflow.issues import MlflowIssues
from sinks.mlflow.redaction import Door, RedactionConfig
from sinks.undo import plan, undo
from store import Store, open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage
from streams.sources.mlflow.rows import info_row, light_hash

pytestmark = pytest.mark.e2e
PATTERN = "00ff00ff00ff00ff"
DAY_US = 86_400_000_000


class Issues:
    """The sink, a trace and the issues of its experiment."""

    def __init__(self, server: MlflowServer, experiment_id: str, store: Store) -> None:
        self.trace, self.experiment_id, self.store = (
            logged_trace(server.uri, experiment_id),
            experiment_id,
            store,
        )
        self.client = MlflowClient(server.uri)
        self.server = self.client._tracing_client.store
        self.sink_uri = server.uri
        self.sink = MlflowIssues(server.uri, Door(RedactionConfig()))
        self.target = f"{experiment_id}/{PATTERN}"

    def payload(self, status: str = "open", **changes: Any) -> dict[str, Any]:
        payload = {
            "status": status,
            "experiment_id": self.experiment_id,
            "pattern": PATTERN,
            "variants": [PATTERN],
            "text": "no answer for bob@example.com",
            "error_type": "TimeoutError",
            "span_type": "TOOL",
            "span_name": "search",
            "traces": 12,
            "recent": 3,
            "handled": 0,
            "first_us": T0,
            "last_us": T0 + DAY_US,
            "back_us": None,
            "silent_us": None,
            "samples": [self.trace, "tr-" + "0" * 32],
        }
        return {**payload, **changes}

    def deliver(self, payload: dict[str, Any]) -> str:
        (outcome,) = self.sink.deliver([PendingMessage("mlflow_issues", self.target, payload)])
        if outcome.error is not None:
            raise outcome.error
        return str(json.loads(outcome.result)["done"])

    def take_back(self) -> str:
        return self.deliver(MlflowIssues.withdrawal(self.target))

    def all(self) -> list[Any]:
        return list(self.server.search_issues(self.experiment_id))

    def one(self) -> Any:
        (found,) = self.all()
        return found

    def links(self) -> list[Any]:
        return list(self.client.get_trace(self.trace, display=False).info.assessments)

    def row(self) -> dict[str, Any]:
        return info_row(self.client.get_trace(self.trace, display=False).info, None)


@pytest.fixture
def issues(mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path) -> Issues:
    return Issues(mlflow_server, experiment[0], open_store(str(tmp_path / "store")))


def test_sem_01_it_is_opened_resolved_and_opened_again_once_and_amends_no_trace(issues: Issues) -> None:
    before, hashed = issues.row(), light_hash(issues.row())
    assert issues.deliver(issues.payload()) == "created"
    assert issues.deliver(issues.payload()) == ""
    one = issues.one()
    assert (str(one.status), one.name) == ("pending", "search: TimeoutError: no answer for [EMAIL_1]")
    lines = one.description.split("\n\n")
    assert lines[:3] == [
        "search (TOOL) fails first: TimeoutError: no answer for [EMAIL_1]",
        "Traces: 3 in 24 hours, 12 that are counted.",
        "First seen 2027-01-15 08:00:00 UTC, last seen 2027-01-16 08:00:00 UTC.",
    ]
    (link,) = issues.links()
    assert (link.name, link.issue.issue_name) == (one.issue_id, one.name)
    assert (issues.row(), light_hash(issues.row())) == (before, hashed)

    assert issues.deliver(issues.payload("resolved")) == "updated"
    assert str(issues.one().status) == "resolved"
    back = issues.payload(back_us=T0 + 9 * DAY_US, silent_us=T0 + DAY_US)
    assert issues.deliver(back) == "updated"
    assert str(issues.one().status) == "pending"
    line = "Back again since 2027-01-24 08:00:00 UTC, after none since 2027-01-16 08:00:00 UTC."
    assert line in issues.one().description
    assert (issues.one().issue_id, len(issues.links())) == (one.issue_id, 1)


def test_undo_counts_it_takes_its_text_away_and_the_next_one_takes_its_place(issues: Issues) -> None:
    theirs = IssueReference(
        "iss-other", "theirs", source=AssessmentSource("HUMAN", "ana"), trace_id=issues.trace
    )
    issues.server.create_assessment(theirs)
    issues.store.table("facts").append([fact(issues.trace, 0)])
    outbox, delivery = Outbox(issues.store), Delivery(issues.sink, Outbox(issues.store))
    outbox.enqueue([OutboxMessage("mlflow_issues", issues.target, issues.payload())], 1)
    assert delivery.step(2) == 1
    planned = plan(issues.store)
    assert (planned.issues, planned.things, [part.experiment for part in planned.parts]) == (
        1,
        1,
        ["support"],
    )
    assert len(issues.links()) == 2
    assert undo(issues.store, [delivery], lambda: 3, 20).withdrawn == 1
    assert plan(issues.store).things == 0
    one = issues.one()
    assert (str(one.status), one.name) == ("rejected", "Withdrawn by tracesieve")
    assert "search" not in one.description
    assert [link.name for link in issues.links()] == ["iss-other"]
    assert issues.deliver(issues.payload()) == "updated"
    assert (str(issues.one().status), issues.one().issue_id) == ("pending", one.issue_id)


@pytest.mark.parametrize("killed_in", ["create_issue", "create_assessment", "update_issue"])
def test_a_delivery_that_is_killed_is_finished_by_its_repeat(
    issues: Issues, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    if killed_in == "update_issue":
        issues.deliver(issues.payload("resolved"))
    real = getattr(issues.sink._store, killed_in)

    def killed(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(issues.sink._store, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            issues.deliver(issues.payload())
    assert issues.deliver(issues.payload()) == ""
    assert (str(issues.one().status), len(issues.links())) == ("pending", 1)


def test_of_two_that_a_client_made_by_sending_a_call_again_the_younger_is_rejected(issues: Issues) -> None:
    issues.deliver(issues.payload())
    one = issues.one()
    issues.server.create_issue(
        issues.experiment_id, one.name, one.description, created_by=one.created_by, status=IssueStatus.PENDING
    )
    assert issues.deliver(issues.payload()) == ""
    statuses = {each.issue_id: str(each.status) for each in issues.all()}
    assert (len(statuses), statuses.pop(one.issue_id)) == (2, "pending")
    assert list(statuses.values()) == ["rejected"]


def test_a_persons_status_stays_and_the_text_goes_on(issues: Issues) -> None:
    issues.deliver(issues.payload())
    issues.server.update_issue(issues.one().issue_id, status=IssueStatus.REJECTED)
    for payload in (issues.payload("resolved"), issues.payload(traces=77), issues.payload(traces=78)):
        assert issues.deliver(payload) == "updated"
        assert str(issues.one().status) == "rejected"
    assert "78 that are counted" in issues.one().description
    assert issues.take_back() == "kept"
    assert (str(issues.one().status), issues.one().name[:6]) == ("rejected", "search")
    issues.server.update_issue(issues.one().issue_id, status=IssueStatus.PENDING)  # as it was: ours again
    assert issues.deliver(issues.payload("resolved")) == "updated"
    assert str(issues.one().status) == "resolved"


@pytest.mark.parametrize(
    "edit", [{"name": "Ask Bo"}, {"description": "Known: #12"}, {"severity": IssueSeverity.HIGH}]
)
def test_a_persons_text_and_severity_stay(issues: Issues, edit: dict[str, Any]) -> None:
    issues.deliver(issues.payload())
    issues.server.update_issue(issues.one().issue_id, **edit)
    ((field, value),) = edit.items()
    done = issues.deliver(issues.payload("resolved", traces=77))
    assert done == ("updated" if field == "severity" else "kept")
    assert issues.take_back() == "kept"
    assert getattr(issues.one(), field) == value
    assert issues.links() == []  # the references are ours alone


def test_an_experiment_that_is_gone_is_refused(issues: Issues) -> None:
    issues.client.delete_experiment(issues.experiment_id)
    with pytest.raises(Refused):
        issues.deliver(issues.payload())
    assert issues.take_back() == ""


def test_traces_that_are_of_no_experiment_of_the_server_have_theirs_in_one_by_name(issues: Issues) -> None:
    issues.sink = MlflowIssues(issues.sink_uri, Door(False), "archive")
    assert issues.take_back() == ""
    assert issues.client.get_experiment_by_name("archive") is None
    assert issues.deliver(issues.payload(experiment_id="", samples=[])) == "created"
    assert issues.deliver(issues.payload(experiment_id="", samples=[])) == ""
    assert issues.all() == []
    archive = issues.client.get_experiment_by_name("archive").experiment_id
    assert [one.name for one in issues.server.search_issues(archive)] == [
        "search: TimeoutError: no answer for bob@example.com"
    ]


def test_the_probe_says_whether_the_server_has_issues(
    issues: Issues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def probed(uri: str, *, wanted: bool = True) -> list[str]:
        return [
            one.status
            for one in MlflowIssues.probe({"mlflow": MlflowTarget(tracking_uri=uri, issues=wanted)}, 1)
        ]

    assert probed(issues.sink_uri, wanted=False) == []
    assert probed(issues.sink_uri) == ["ok"]
    assert probed(f"http://127.0.0.1:{free_port()}") == []  # the server's own check says that

"""Exactly-once in effect: error patterns as MLflow issues; writing them again changes nothing.

MLflow takes no key from who creates an issue, deletes none, and finds none but by status and run. It keeps
``created_by`` as it was given and changes it never: there we write ``tracesieve`` and the target of the
message, and list the experiment's issues before each write. One that a person changed is theirs: their
status stays, and of one whose text they edited nothing is written any more. To withdraw is to reject, with
what we wrote taken out of it. A few traces are linked, by references that are deleted with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from sinks.base import MessageKind, Outcome, Payload, Probe, Sink, SinkConfig, SinkContext
from sinks.delivery import each
from sinks.errors import Refused, RetryLater
from sinks.mlflow.config import DATASETS, SERVER, DatasetsConfig
from sinks.mlflow.issue_links import IssueLinks
from sinks.mlflow.issue_text import (
    DOUBLE,
    REJECTED,
    STATUSES,
    WITHDRAWN,
    Wording,
    Written,
    wording_of,
    written,
)
from sinks.mlflow.redaction import Door
from sinks.mlflow.server import NO_SUCH_CALL, classify_error, client
from sinks.shown import Holding
from store import Store
from store.outbox import PendingMessage

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

CREATOR = "tracesieve"  # and the target of the message
_PAGE = 100


class MlflowIssues(Sink):
    """Opens, resolves and withdraws the issue of an error pattern."""

    name = "mlflow_issues"
    consumes = MessageKind.PATTERN
    withdraws = True

    def __init__(self, tracking_uri: str, door: Door, experiment: str | None = None) -> None:
        """``experiment``: the name of the one that has all issues; None: each has those of its traces."""
        self._client = client(tracking_uri)
        self._store = self._client._tracing_client.store
        self._links = IssueLinks(self._client)
        self._door, self._experiment = door, experiment
        self._listed: dict[str, list[Any]] = {}  # by experiment, in one batch

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """One where the config names a server and says ``issues: true``."""
        server = config.get(SERVER.path)
        return [cls.name] if server is not None and server.issues else []

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """The server of the config; texts pass the door of datasets, which stands where there are none."""
        server = context.config.get(SERVER.path)
        if server is None:
            return None
        datasets = context.config.get(DATASETS.path) or DatasetsConfig()
        own = context.own_experiments
        experiment = None if own else datasets.experiment or datasets.prefix
        return cls(server.tracking_uri, Door(datasets.redaction), experiment)

    @classmethod
    def probe(cls, config: SinkConfig, timeout_s: float) -> Iterable[Probe]:
        """Whether the server has issues, where the config wants them. One that cannot be reached, or does not
        let us in, is named by the probe of tags.
        """
        from mlflow.exceptions import MlflowException

        if not cls.names(config):
            return []
        try:
            client(config[SERVER.path].tracking_uri)._tracing_client.store.search_issues(max_results=1)
        except OSError:
            return []
        except MlflowException as error:
            failure = _failure(error)
            if isinstance(failure, RetryLater) and not failure.answered:
                return []
            hint = "issues need an open-source MLflow server with a database: update it, or drop `issues`"
            return [Probe("mlflow issues", "fail", str(failure), hint)]
        return [Probe("mlflow issues", "ok", "the server has issues")]

    @classmethod
    def withdrawal(cls, target: str) -> Payload:
        """The status that no decision gives."""
        experiment_id, _, pattern = target.rpartition("/")
        return {"experiment_id": experiment_id, "pattern": pattern, "status": "withdrawn"}

    @classmethod
    def is_withdrawal(cls, payload: Payload) -> bool:
        """Whether it takes the issue back."""
        return payload.get("status") not in STATUSES

    @classmethod
    def holdings(cls, store: Store, delivered: Mapping[str, Payload]) -> Iterator[Holding]:
        """Each issue, behind which its linked traces stand."""
        for target, payload in delivered.items():
            for trace_id in payload["samples"]:
                yield Holding(
                    "issue", trace_id, target, str(payload["status"]), place_id=str(payload["experiment_id"])
                )

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make each pattern's issue what its message says; the result is its id and what was done.

        Raises:
            RetryLater: MLflow cannot be reached.
        """
        self._listed.clear()
        return each(messages, self._one)

    def _one(self, message: PendingMessage) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return json.dumps(self._brought(message), sort_keys=True)
        except MlflowException as error:
            raise _failure(error) from error

    def _brought(self, message: PendingMessage) -> dict[str, str]:
        """Write what differs: ``{"issue": its id, "done": created | updated | withdrawn | kept | ""}``."""
        withdraws = self.is_withdrawal(message.payload)
        experiment_id = self._experiment_id(message.payload, make=not withdraws)
        found = [] if experiment_id is None else self._ours(experiment_id, message.target)
        for double in found[1:]:
            self._withdraw(double, DOUBLE)
        if withdraws:
            done = self._withdraw(found[0], WITHDRAWN) if found else ""
            return {"issue": found[0].issue_id if found else "", "done": done}
        wording, status = wording_of(message.payload, self._door), STATUSES[message.payload["status"]]
        if found:
            issue, done = found[0], self._update(found[0], wording, status)
        else:
            issue, done = self._create(str(experiment_id), message.target, wording, status), "created"
        if done != "kept":
            self._links.add(issue.issue_id, wording.name, message.payload["samples"])
        return {"issue": issue.issue_id, "done": done}

    def _ours(self, experiment_id: str, target: str) -> list[Any]:
        """The issues of a target: one, or several where a client sent a lost call again. The first is the one
        that stands: one that a person changed, else the oldest.
        """
        if experiment_id not in self._listed:
            found, token = [], None
            while True:
                page = self._store.search_issues(experiment_id, max_results=_PAGE, page_token=token)
                found += page
                token = page.token
                if not token:
                    break
            self._listed[experiment_id] = found
        ours = [one for one in self._listed[experiment_id] if one.created_by == f"{CREATOR} {target}"]
        return sorted(ours, key=lambda one: (not _is_theirs(one), one.created_timestamp, one.issue_id))

    def _create(self, experiment_id: str, target: str, wording: Wording, status: str) -> Any:
        from mlflow.entities.issue import IssueStatus

        return self._store.create_issue(
            experiment_id,
            wording.name,
            wording.description(status),
            status=IssueStatus(status),
            categories=["error pattern"],
            created_by=f"{CREATOR} {target}",
        )

    def _update(self, issue: Any, wording: Wording, status: str) -> str:
        """Write name, text and status in one call; a person's text is left alone, and so is their status."""
        before = written(issue)
        if not before.own_text:
            return "kept"
        if not before.own_status:
            status = before.status  # what we wrote last, so that theirs is still known for theirs
        return self._write(issue, wording, status, before)

    def _write(self, issue: Any, wording: Wording, status: str, before: Written) -> str:
        from mlflow.entities.issue import IssueStatus

        description = wording.description(status)
        if (issue.name, issue.description) == (wording.name, description):
            return ""
        theirs = not before.own_status
        self._store.update_issue(
            issue.issue_id,
            status=None if theirs else IssueStatus(status),
            name=wording.name,
            description=description,
        )
        return "updated"

    def _withdraw(self, issue: Any, wording: Wording) -> str:
        """Reject it and take its text away, unless a person made it theirs; its links go in any case."""
        self._links.remove(issue.experiment_id, issue.issue_id)
        if _is_theirs(issue):
            return "kept"
        self._write(issue, wording, REJECTED, written(issue))
        return "withdrawn"

    def _experiment_id(self, payload: Payload, *, make: bool) -> str | None:
        if self._experiment is None:
            if not payload["experiment_id"]:
                raise Refused("its traces are of no experiment")
            return str(payload["experiment_id"])
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._experiment)) if make else None


def _failure(error: MlflowException) -> RetryLater | Refused:
    """What an error means; a server without issues may be updated, and nothing is wrong with the message."""
    if error.error_code in NO_SUCH_CALL:
        return RetryLater("the MLflow server has no issues", answered=True)
    return classify_error(error)


def _is_theirs(issue: Any) -> bool:
    """Whether a person changed its text or status, or gave it a severity, which we never do."""
    before = written(issue)
    return not (before.own_text and before.own_status and issue.severity is None)

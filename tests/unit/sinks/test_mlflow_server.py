"""What an MLflow server's answers mean: from its error code and the HTTP status, never from a text."""

from __future__ import annotations

import json

import pytest
from support.recording_proxy import answering
from support.servers import free_port

from sinks.errors import Refused, RetryLater
from sinks.mlflow.config import MlflowTarget
from sinks.mlflow.issues import MlflowIssues
from sinks.mlflow.redaction import Door
from sinks.mlflow.server import probe
from sinks.mlflow.tags import MlflowTags
from store.outbox import PendingMessage

PAGE = "<html><body>Sign in. Error 401, 403, Connection refused, timed out</body></html>"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def of_code(code: str) -> str:
    return json.dumps({"error_code": code, "message": PAGE})


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (401, PAGE, "does not let us in"),
        (403, PAGE, "does not let us in"),
        (401, of_code("UNAUTHENTICATED"), "does not let us in"),
        (403, of_code("PERMISSION_DENIED"), "does not let us in"),
        (502, PAGE, "too many 502 error responses"),
        (500, of_code("INTERNAL_ERROR"), "too many 500 error responses"),
        (409, of_code("RESOURCE_CONFLICT"), "RESOURCE_CONFLICT"),
        (200, '{"experiments": []}', "answers"),
    ],
)
def test_doctor_says_what_the_status_says_whatever_stands_in_the_body(
    status: int, body: str, found: str
) -> None:
    with answering(status, body) as uri:
        check = probe(uri)
    assert found in check.found
    assert check.status == ("ok" if status == 200 else "fail")
    if status in (409, 500, 502):
        assert "let us in" not in check.found


def delivered(uri: str) -> RetryLater | Refused:
    message = PendingMessage("mlflow_tags", "tr-1", {"trace_id": "tr-1", "category": "a", "rules": ["r"]})
    try:
        (outcome,) = MlflowTags(uri).deliver([message])
    except RetryLater as error:
        return error
    assert outcome.error is not None
    return outcome.error


@pytest.mark.parametrize(
    ("status", "body", "kind", "answered"),
    [
        (404, of_code("RESOURCE_DOES_NOT_EXIST"), Refused, None),
        (400, of_code("INVALID_PARAMETER_VALUE"), Refused, None),
        (401, PAGE, RetryLater, False),
        (403, of_code("PERMISSION_DENIED"), RetryLater, False),
        (409, of_code("RESOURCE_CONFLICT"), RetryLater, True),
        (429, of_code("RESOURCE_EXHAUSTED"), RetryLater, True),
        (500, of_code("INTERNAL_ERROR"), RetryLater, True),
        (502, PAGE, RetryLater, True),
    ],
)
def test_sem_21_a_delivery_is_refused_or_waits_by_the_code_of_the_answer(
    status: int, body: str, kind: type[Exception], answered: bool | None
) -> None:
    with answering(status, body) as uri:
        error = delivered(uri)
    assert isinstance(error, kind)
    assert getattr(error, "answered", None) is answered
    assert ("refuses access" in str(error)) == (status in (401, 403))


def test_sem_21_a_server_that_is_not_there_waits() -> None:
    error = delivered(f"http://127.0.0.1:{free_port()}")
    assert isinstance(error, RetryLater)
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (404, PAGE, ["fail"]),  # an older server
        (404, of_code("ENDPOINT_NOT_FOUND"), ["fail"]),
        (501, of_code("NOT_IMPLEMENTED"), ["fail"]),
        (401, PAGE, []),  # the check of the server says it
        (200, '{"issues": []}', ["ok"]),
    ],
)
def test_doctor_says_whether_the_server_has_issues(status: int, body: str, found: list[str]) -> None:
    with answering(status, body) as uri:
        config = {"mlflow": MlflowTarget(tracking_uri=uri, issues=True)}
        assert [one.status for one in MlflowIssues.probe(config, 1)] == found


def test_a_server_without_issues_may_get_them_and_is_named() -> None:
    with answering(404, PAGE) as uri:
        payload = MlflowIssues.withdrawal("1/00ff")
        (outcome,) = MlflowIssues(uri, Door(False)).deliver(
            [PendingMessage("mlflow_issues", "1/00ff", payload)]
        )
    assert isinstance(outcome.error, RetryLater)
    assert str(outcome.error) == "the MLflow server has no issues"

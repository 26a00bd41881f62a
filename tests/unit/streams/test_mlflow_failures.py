"""What an MLflow server's failures come to: by type and code, whatever their text is."""

from __future__ import annotations

import socket

import pytest
from google.protobuf.json_format import ParseError
from support.recording_proxy import answering
from support.servers import free_port

from streams.errors import NoAccess, SourceDown, SourceRefuses
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.failures import source_down


@pytest.fixture(autouse=True)
def own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for each call, once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def failure(uri: str) -> SourceDown:
    with pytest.raises(SourceDown) as caught:
        MlflowReader(uri).experiments()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"source.tracking_uri: {uri}: ")
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "no", NoAccess),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', NoAccess),
        (400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "connection refused"}', SourceRefuses),
        (404, "not in a valid place", SourceRefuses),
        (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}', SourceRefuses),
        (501, "API request to nowhere", SourceRefuses),
        (502, "bad gateway", SourceDown),
        (503, "busy", SourceDown),
        (200, "<html>please log in</html>", SourceDown),
        (200, "[1]", SourceDown),
    ],
)
def test_an_answer_is_classified_by_its_code(status: int, body: str, kind: type[SourceDown]) -> None:
    with answering(status, body) as uri:
        assert type(failure(uri)) is kind


def test_no_answer_has_its_reason_in_a_few_words() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    assert failure(uri).brief == f"{uri}: connection refused"
    assert "no answer (Connection refused)" in str(failure(uri))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert failure(uri).brief == f"{uri}: timed out"


def test_a_failure_that_was_handled_before_is_not_the_reason_of_the_next() -> None:
    from mlflow.exceptions import MlflowException

    handled = SourceDown("handled")
    handled.__cause__ = ConnectionRefusedError(111, "Connection refused")
    error = MlflowException("no credentials")
    error.__context__ = handled
    assert str(source_down("databricks", error)) == "source.tracking_uri: databricks: no credentials"


@pytest.mark.parametrize("kind", [KeyError, RecursionError, ValueError, ParseError])
def test_an_answer_at_which_mlflows_client_breaks_is_said_without_its_content(kind: type[Exception]) -> None:
    class Breaking:
        """MLflow's own client, at an answer that it does not know."""

        def batch_get_traces(self, ids: list[str]) -> list[object]:
            raise kind("secret")

        def batch_get_trace_infos(self, ids: list[str]) -> list[object]:
            return []

    reader = MlflowReader("http://127.0.0.1:1")
    reader._store = type("Client", (), {"store": Breaking()})()
    with pytest.raises(SourceDown, match=rf"cannot read the answer .{kind.__name__}.") as caught:
        reader._call(lambda client: client.store.batch_get_traces(["a"]))
    assert "secret" not in str(caught.value)
    assert reader._whole(["a", "b"]) == []  # they land without spans, and nothing ends

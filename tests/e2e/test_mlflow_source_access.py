"""A server that is down, wants a login or lacks an experiment: one line that says what mends it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.landing_cases import source
from support.recording_proxy import answering
from support.servers import MlflowServer, free_port

from streams.errors import SourceDown, UnknownExperiment
from streams.sources.base import SourcePlace
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e
PLACE = SourcePlace("/", "/no/store")


def test_an_unknown_experiment_is_named_with_those_there_are(
    mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    with pytest.raises(UnknownExperiment, match=experiment[1]):
        source(mlflow_server, "no-such-experiment").check(PLACE)
    source(mlflow_server, experiment[0]).check(PLACE)


def test_a_server_that_is_down_is_reported_quickly() -> None:
    began = time.monotonic()
    config = MlflowSource(tracking_uri=f"http://127.0.0.1:{free_port()}", experiments=("a",))
    with pytest.raises(SourceDown, match="is the server up"):
        config.check(PLACE)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (401, "You are not authenticated.", "MLFLOW_TRACKING_TOKEN"),
        (
            403,
            '{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}',
            "MLFLOW_TRACKING_USERNAME",
        ),
        (200, "<html>please log in</html>", "login page"),
    ],
)
def test_an_answer_that_is_no_access_says_what_mlflow_reads(status: int, body: str, wanted: str) -> None:
    with answering(status, body) as uri, pytest.raises(SourceDown) as caught:
        MlflowSource(tracking_uri=uri, experiments=("a",)).check(PLACE)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_databricks_without_credentials_is_one_line_of_mlflows_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SourceDown, match=r"source\.tracking_uri: databricks: ") as caught:
        MlflowSource(tracking_uri="databricks", experiments=("a",)).check(PLACE)
    assert "\n" not in str(caught.value)

"""Fixtures of the tests against real outside servers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from servers import MlflowServer
from servers import mlflow_server as started

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One tracking server for the session; tests keep apart by experiment."""
    with started(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def experiment(mlflow_server: MlflowServer) -> tuple[str, str]:
    """A new experiment: its id and name."""
    from mlflow import MlflowClient

    name = f"support-{uuid.uuid4().hex[:8]}"
    return MlflowClient(mlflow_server.uri).create_experiment(name), name

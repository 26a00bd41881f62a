"""What the property tests run against: one MLflow server with varied traces, and one Spark session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from servers import MlflowServer
from servers import mlflow_server as started

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One tracking server for the session."""
    with started(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    from streams.session import SparkConfig, session

    running = session(SparkConfig(master="local[2]", memory="1g"))
    yield running
    running.stop()

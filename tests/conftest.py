"""What tests of every folder share, each once a session: a Spark session, and a real MLflow server with an
experiment a test.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from support.servers import MlflowServer
from support.servers import mlflow_server as started

from streams.session.config import SparkConfig
from streams.session.spark import session
from tracesieve.patience import bound_clients

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Tests start Spark some hundred times for seconds each: without the second compiler that takes half of the
# CPU.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
bound_clients()  # as every process of tracesieve does
# How long one example takes says nothing on a crowded machine.
hypothesis.settings.register_profile("tracesieve", deadline=None)
hypothesis.settings.load_profile("tracesieve")


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    running = session(SparkConfig(master="local[2]", memory="1g"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A tracking server; tests keep apart by experiment."""
    with started(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def experiment(mlflow_server: MlflowServer) -> tuple[str, str]:
    """A new experiment: its id and name."""
    from mlflow import MlflowClient

    name = f"support-{uuid.uuid4().hex[:8]}"
    return MlflowClient(mlflow_server.uri).create_experiment(name), name

"""A trace that arrives over OTLP grows after its root has ended: it lands again, as an amendment."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest
from support.mlflow_traces import send_span
from support.servers import MlflowServer

from store import open_store
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e


def test_sem_02_a_late_child_span_lands_the_trace_again(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = time.time_ns() // 1000
    start, trace, root = now - 60_000_000, secrets.token_bytes(16), secrets.token_bytes(8)
    send_span(mlflow_server, key, trace, root, b"", start, start + 3_000_000)
    config = MlflowSource(tracking_uri=mlflow_server.uri, experiments=(name,))
    landing = MlflowLanding(config, open_store(str(tmp_path)))
    assert landing.step(now).landed == 1
    send_span(mlflow_server, key, trace, secrets.token_bytes(8), root, start, start + 10_000_000)
    step = landing.step(now + 31_000_000)
    assert (step.landed, step.amended) == (1, 1)
    rows = open_store(str(tmp_path)).table("traces").read().sort("landed_us").to_dicts()
    assert [(one["execution_duration_ms"], len(one["spans"])) for one in rows] == [(3000.0, 1), (10000.0, 2)]

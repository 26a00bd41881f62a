"""An outage of 5,000 alike failures and 50 rare ones of ten kinds, on a real MLflow server: the set keeps its
quotas and holds every kind; built in pieces, in another order, or after kill -9 it is the same version.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from support.dataset_candidates import counted
from support.outage import KINDS, RARE, contents, deliver, facts, kind_of
from support.servers import MlflowServer

from rules.selection import Quotas
from sinks.mlflow.served import ServedDatasets
from store import Store, open_store
from tracesieve.datasets.record import Record, normalised, version_of

pytestmark = pytest.mark.e2e
QUOTAS = Quotas()


def experiment(server: MlflowServer, name: str) -> str:
    return str(mlflow.MlflowClient(server.uri).create_experiment(f"{name}-{time.time_ns()}"))


def records(store: Store, uri: str) -> list[Record]:
    """What the server holds, without ids and times."""
    served = ServedDatasets(uri)
    (dataset_id,) = store.table("records").read(["dataset_id"])["dataset_id"].unique()
    dataset = served.dataset(dataset_id)
    assert dataset is not None
    _, rows = served.records(dataset)
    return [normalised(one.inputs, one.outputs, one.expectations, one.tags, one.source) for one in rows]


def killed_while_delivering(folder: Path, store: Store, uri: str) -> None:
    """Begin in a process of its own and kill it: once candidates are written, once messages are, and once the
    server has taken records, before that is acknowledged.
    """
    command = [sys.executable, "-m", "support.outage", store.path, uri]
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parents[2]}"}
    for table in ("dataset_candidates", "outbox", "records"):
        with subprocess.Popen(command, start_new_session=True, env=environment, cwd=folder) as running:
            while not list((Path(store.path) / table / "_delta_log").glob("*.json")):
                assert running.poll() is None, f"it ended before it wrote {table}"
                time.sleep(0.01)
            os.killpg(running.pid, signal.SIGKILL)
    assert store.table("deliveries").read(["outcome"]).height < len(KINDS) * 10


def test_sem_37_38_an_outage_on_a_real_server(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    uri, found = mlflow_server.uri, {}
    for name, seed, piece in (("killed", None, 6000), ("pieces", 5, 1300)):
        store = open_store(str(tmp_path / name))
        contents(store)
        rows = facts(experiment(mlflow_server, name), seed)
        for number, begin in enumerate(range(0, len(rows), piece)):
            counted(store, number, rows[begin : begin + piece])
            if name == "killed":
                killed_while_delivering(tmp_path, store, uri)
            deliver(store, uri)
        found[name] = records(store, uri)
    by_kind = Counter(kind_of(str(one.inputs["q"])) for one in found["killed"])
    assert {by_kind[kind] for kind in KINDS} == {RARE // len(KINDS)}
    assert by_kind.total() == RARE + (QUOTAS.per_pattern or 0) <= (QUOTAS.per_day or 0)
    assert version_of(found["killed"]) == version_of(found["pieces"])

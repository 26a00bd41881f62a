"""Landing of traces whose spans are late, broken or very many, and from servers that can do less."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.landing_cases import now_us, source
from support.mlflow_traces import log_trace
from support.servers import MlflowServer

from rules.units import HOUR_US, MINUTE_US, SECOND_US
from store import open_store
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.landing import MlflowLanding

pytestmark = pytest.mark.e2e


class Spanless(MlflowReader):
    """A server whose spans are not in yet."""

    def fetch(self, infos):  # type: ignore[no-untyped-def]
        return [], list(infos)


def test_a_trace_that_landed_without_its_spans_is_fetched_again_also_by_the_next_process(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    fresh, old = (
        log_trace(mlflow_server, key, now - 60 * SECOND_US),
        log_trace(mlflow_server, key, now - 3 * HOUR_US),
    )
    config = source(mlflow_server, name)
    landing = MlflowLanding(config, open_store(str(tmp_path)), reader=Spanless(mlflow_server.uri))
    assert landing.land_through(now).landed == 2
    step = MlflowLanding(config, open_store(str(tmp_path))).land_through(now)
    assert (step.landed, step.amended) == (2, 2)
    rows = open_store(str(tmp_path)).table("traces").read().sort("landed_us").to_dicts()
    assert sorted((row["trace_id"], len(row["spans"])) for row in rows) == sorted(
        [(fresh, 0), (fresh, 2), (old, 0), (old, 2)]
    )
    assert MlflowLanding(config, open_store(str(tmp_path))).land_through(now).landed == 0


def test_a_trace_that_cannot_be_read_with_spans_lands_without_and_takes_no_other_with_it(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, name = experiment
    now = now_us()
    fine, broken = (log_trace(mlflow_server, key, now - i * MINUTE_US) for i in (1, 2))
    with sqlite3.connect(mlflow_server.database, timeout=60) as base:
        base.execute("UPDATE spans SET content = '{' WHERE trace_id = ?", [broken])
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    assert landing.land_through(now).landed == 2
    rows = open_store(str(tmp_path)).table("traces").read().to_dicts()
    assert {row["trace_id"]: len(row["spans"]) for row in rows} == {fine: 2, broken: 0}
    assert f"trace {broken} lands without its spans" in caplog.text


def test_10000_spans_and_a_5_mb_request_land_whole(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    large = log_trace(mlflow_server, key, now - MINUTE_US, inputs={"q": "x" * 5_000_000})
    many = log_trace(mlflow_server, key, now - 2 * MINUTE_US)
    with sqlite3.connect(mlflow_server.database, timeout=60) as base:
        base.row_factory = sqlite3.Row
        span = dict(
            base.execute(
                "SELECT * FROM spans WHERE trace_id = ? AND parent_span_id IS NOT NULL", [many]
            ).fetchone()
        )
        del span["duration_ns"]
        names = ",".join(span)
        for i in range(9_998):
            content = {
                **json.loads(span["content"]),
                "span_id": base64.b64encode(i.to_bytes(8, "big")).decode(),
            }
            values = [*{**span, "span_id": f"{i:016x}", "content": json.dumps(content)}.values()]
            base.execute(f"INSERT INTO spans ({names}) VALUES ({','.join('?' * len(values))})", values)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    assert landing.land_through(now).landed == 2
    rows = {row["trace_id"]: row for row in open_store(str(tmp_path)).table("traces").read().to_dicts()}
    assert len(rows[many]["spans"]) == 10_000
    assert len(rows[large]["request"]) > 5_000_000


def test_a_server_without_counts_is_listed_and_an_experiment_may_be_renamed_or_deleted(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Older(MlflowReader):
        def counts(self, *_):  # type: ignore[no-untyped-def]
            return None

    key, name = experiment
    client, now = MlflowClient(mlflow_server.uri), now_us()
    log_trace(mlflow_server, key, now - 5 * HOUR_US)
    landing = MlflowLanding(
        source(mlflow_server, name), open_store(str(tmp_path)), reader=Older(mlflow_server.uri)
    )
    assert landing.step(now).landed == 1
    log_trace(mlflow_server, key, now - 4 * HOUR_US)
    client.rename_experiment(key, f"{name}-renamed")
    step = landing.step(now + 16 * MINUTE_US)
    assert (step.landed, step.missed) == (1, 1)
    names = open_store(str(tmp_path)).table("traces").read().sort("landed_us")["experiment_name"].to_list()
    assert names == [name, f"{name}-renamed"]
    client.delete_experiment(key)
    caplog.clear()
    for i in (2, 3):
        landing.step(now + i * 16 * MINUTE_US)
    assert caplog.text.count("was deleted (`mlflow experiments restore") == 1

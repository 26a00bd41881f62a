"""Landing from a real MLflow server: complete, repeatable, and it notices what changes later."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import SpanStatusCode
from servers import MlflowServer, free_port

from store import open_store
from streams.errors import SourceDown, UnknownExperiment
from streams.sources.mlflow import MlflowSource
from streams.sources.mlflow_client import MlflowReader
from streams.sources.mlflow_landing import MlflowLanding

pytestmark = pytest.mark.e2e
HOUR = 3_600_000_000


def now_us() -> int:
    return time.time_ns() // 1000


def log(server: MlflowServer, experiment_id: str, end_us: int, *, ms: int = 500, error: bool = False) -> str:
    """One finished trace with a child span, with times of our own."""
    mlflow.set_tracking_uri(server.uri)
    start_ns = (end_us - ms * 1000) * 1000
    root = mlflow.start_span_no_context(
        "answer", inputs={"q": "hi"}, start_time_ns=start_ns, experiment_id=experiment_id, tags={"environment": "prod"}
    )
    child = mlflow.start_span_no_context("tool", span_type="TOOL", parent_span=root, start_time_ns=start_ns)
    child.end(status=SpanStatusCode.ERROR if error else SpanStatusCode.OK, end_time_ns=end_us * 1000)
    root.end(outputs="ok", status=SpanStatusCode.ERROR if error else SpanStatusCode.OK, end_time_ns=end_us * 1000)
    return root.trace_id


def insert(server: MlflowServer, experiment_id: str, prefix: str, count: int, end_ms: int, state: str = "OK") -> None:
    """Many traces at once, straight into the server's database, all with one end."""
    with sqlite3.connect(server.database, timeout=30) as base:
        ids = [f"tr-{prefix}{i:06d}" for i in range(count)]
        base.executemany(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status) VALUES (?,?,?,?,?)",
            [(one, int(experiment_id), end_ms - 100, 100, state) for one in ids],
        )
        base.executemany(
            "INSERT INTO trace_tags (request_id, key, value) VALUES (?, 'mlflow.trace.spansLocation', 'TRACKING_STORE')",
            [(one,) for one in ids],
        )


def source(server: MlflowServer, name: str, **more: object) -> MlflowSource:
    return MlflowSource.model_validate({"kind": "mlflow", "tracking_uri": server.uri, "experiments": [name], **more})


def ids(folder: Path) -> list[str]:
    return open_store(str(folder)).table("traces").read(["trace_id"])["trace_id"].to_list()


def test_sem_12_finished_traces_land_once_and_a_new_process_goes_on(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    first = [log(mlflow_server, key, now - 60_000_000 - i * 1_000_000, error=i == 0) for i in range(3)]
    old = log(mlflow_server, key, now - 20 * HOUR)
    config = source(mlflow_server, name)
    landing = MlflowLanding(config, open_store(str(tmp_path)))
    step = landing.land_through(now)
    assert (step.landed, sorted(ids(tmp_path))) == (4, sorted([*first, old]))
    assert landing.final_through_us() == now - now % 1000

    rows = open_store(str(tmp_path)).table("traces").read().to_dicts()
    row = next(one for one in rows if one["trace_id"] == first[0])
    assert (row["state"], row["experiment_name"], row["execution_duration_ms"]) == ("ERROR", name, 500.0)
    assert {span["status_code"] for span in row["spans"]} == {"ERROR"}
    attributes = next(dict(span["attributes"]) for span in row["spans"] if span["name"] == "tool")
    assert attributes["mlflow.spanType"] == '"TOOL"'

    again = MlflowLanding(config, open_store(str(tmp_path)))
    step = again.land_through(now)
    assert (step.landed, step.amended) == (0, 0)
    new = log(mlflow_server, key, now + 1_000_000)
    assert again.step(now + 5_000_000).landed == 1
    assert new in ids(tmp_path)
    stamps = open_store(str(tmp_path)).table("traces").read(["landed_us"])["landed_us"].to_list()
    assert len(set(stamps)) >= 2


def test_5000_traces_with_one_end_millisecond_all_land(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    insert(mlflow_server, key, f"{key}-", 5000, now // 1000 - 120_000)
    landing = MlflowLanding(
        source(mlflow_server, name), open_store(str(tmp_path)), reader=MlflowReader(mlflow_server.uri, page=400)
    )
    step = landing.land_through(now)
    assert step.landed == 5000
    assert len(set(ids(tmp_path))) == 5000


def test_sem_01_later_tags_and_feedback_land_again_but_ours_do_not(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    one, two = log(mlflow_server, key, now - 3 * HOUR), log(mlflow_server, key, now - 2 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    assert landing.land_through(now).landed == 2
    client = MlflowClient(mlflow_server.uri)
    for key in ("tracesieve.category", "eval_candidate", "tracesieve.rules"):  # in the order in which we write them
        client.set_trace_tag(one, key, "error_case")
    assert landing.land_through(now).landed == 0
    client.set_trace_tag(one, "eval_candidate", "mine")  # a person's own: SEMANTICS 22 wants it known
    assert landing.land_through(now).landed == 1
    client.set_trace_tag(one, "environment", "staging")
    mlflow.log_feedback(trace_id=two, name="correct", value=False)
    step = landing.land_through(now)
    assert (step.landed, step.amended) == (2, 2)
    assert MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path))).land_through(now).landed == 0


def test_sem_13_a_trace_exported_long_after_its_end_is_found_by_the_reconcile(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    log(mlflow_server, key, now - 5 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    landing.land_through(now)
    late = log(mlflow_server, key, now - 5 * HOUR + 1_000_000)
    assert landing.step(now + 31_000_000).landed == 0  # outside the overlap
    step = landing.step(now + 16 * 60_000_000)
    assert (step.landed, step.missed) == (1, 1)
    assert late in ids(tmp_path)


def test_sem_04_in_progress_traces_wait_and_are_counted_and_future_ones_land(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    insert(mlflow_server, key, f"p{key}-", 2, now // 1000 - 5000, "IN_PROGRESS")
    tomorrow = log(mlflow_server, key, now + 24 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    step = landing.land_through(now)
    assert (step.landed, step.in_progress) == (1, 2)
    assert ids(tmp_path) == [tomorrow]


def test_a_trace_deleted_while_it_is_listed_is_skipped_and_counted(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    doomed, stays = log(mlflow_server, key, now - 60_000_000), log(mlflow_server, key, now - 61_000_000)

    class Deleting(MlflowReader):
        def fetch(self, infos):  # type: ignore[no-untyped-def]
            MlflowClient(mlflow_server.uri).delete_traces(key, trace_ids=[doomed])
            return super().fetch(infos)

    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)), reader=Deleting(mlflow_server.uri))
    step = landing.land_through(now)
    assert (step.landed, step.gone, ids(tmp_path)) == (1, 1, [stays])


def test_a_kill_between_the_rows_and_the_cursor_loses_nothing(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    wanted = {log(mlflow_server, key, now - 60_000_000 - i * 1000) for i in range(3)}
    store = open_store(str(tmp_path))
    landing = MlflowLanding(source(mlflow_server, name), store)
    landing._write = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        landing.land_through(now)
    assert store.table("landing").version() == -1
    MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path))).land_through(now)
    assert set(ids(tmp_path)) == wanted


def test_sem_27_an_earlier_start_is_backfilled(mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path) -> None:
    key, name = experiment
    now = now_us()
    old = log(mlflow_server, key, now - 50 * HOUR)
    assert MlflowLanding(source(mlflow_server, name, start="now"), open_store(str(tmp_path))).land_through(now).landed == 0
    assert MlflowLanding(source(mlflow_server, name, start="-24h"), open_store(str(tmp_path))).land_through(now).landed == 0
    step = MlflowLanding(source(mlflow_server, name, start="earliest"), open_store(str(tmp_path))).land_through(now)
    assert (step.landed, ids(tmp_path)) == (1, [old])


def test_an_unknown_experiment_is_told_with_those_there_are(mlflow_server: MlflowServer, experiment: tuple[str, str]) -> None:
    with pytest.raises(UnknownExperiment, match=experiment[1]):
        source(mlflow_server, "no-such-experiment").check()
    assert source(mlflow_server, experiment[0]).check() == {experiment[0]: experiment[1]}


def test_a_server_that_is_down_is_told_quickly() -> None:
    began = time.monotonic()
    config = MlflowSource(tracking_uri=f"http://127.0.0.1:{free_port()}", experiments=("a",))
    with pytest.raises(SourceDown, match="is the server up"):
        config.check()
    assert time.monotonic() - began < 20

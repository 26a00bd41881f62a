"""Landing from a real MLflow server: complete, repeatable, and it notices what changes later."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import time
from dataclasses import astuple
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from support.mlflow_traces import HOUR, MINUTE, SECOND, copy_traces, delete_trace, log_trace
from support.mlflow_traces import insert_bare as insert
from support.recording_proxy import answering
from support.servers import MlflowServer, free_port

from store import open_store
from store.final_through import stored_final_through_us
from streams.errors import SourceDown, UnknownExperiment
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e


def now_us() -> int:
    return time.time_ns() // 1000


def source(server: MlflowServer, name: str, **more: object) -> MlflowSource:
    return MlflowSource.model_validate(
        {"kind": "mlflow", "tracking_uri": server.uri, "experiments": [name], **more}
    )


def complete(landing: MlflowLanding) -> int:
    """Up to where the landing of one experiment is complete."""
    (watermark,) = landing.watermarks()
    return watermark.through_us


def ids(folder: Path) -> list[str]:
    return open_store(str(folder)).table("traces").read(["trace_id"])["trace_id"].to_list()


def test_sem_12_finished_traces_land_once_and_a_new_process_goes_on(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    first = [
        log_trace(
            mlflow_server,
            key,
            now - 60_000_000 - i * 1_000_000,
            error=i == 0,
            spans=(("TOOL", i == 0, None),),
        )
        for i in range(3)
    ]
    old = log_trace(mlflow_server, key, now - 20 * HOUR)
    config = source(mlflow_server, name)
    landing = MlflowLanding(config, open_store(str(tmp_path)))
    step = landing.land_through(now)
    assert (step.landed, sorted(ids(tmp_path))) == (4, sorted([*first, old]))
    assert complete(landing) == now - now % 1000

    rows = open_store(str(tmp_path)).table("traces").read().to_dicts()
    row = next(one for one in rows if one["trace_id"] == first[0])
    assert (row["state"], row["experiment_name"], row["execution_duration_ms"]) == ("ERROR", name, 500.0)
    assert {span["status_code"] for span in row["spans"]} == {"ERROR"}
    attributes = next(dict(span["attributes"]) for span in row["spans"] if span["name"] == "tool")
    assert attributes["mlflow.spanType"] == '"TOOL"'

    again = MlflowLanding(config, open_store(str(tmp_path)))
    step = again.land_through(now)
    assert (step.landed, step.amended) == (0, 0)
    new = log_trace(mlflow_server, key, now + 1_000_000)
    assert again.step(now + 5_000_000).landed == 1
    again.step(now + 20_000_000)
    assert complete(again) == now - now % 1000 + 18_000_000  # what settle leaves alone is not promised
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
        source(mlflow_server, name),
        open_store(str(tmp_path)),
        reader=MlflowReader(mlflow_server.uri, page=400),
    )
    step = landing.land_through(now)
    assert step.landed == 5000
    assert len(set(ids(tmp_path))) == 5000


def test_sem_01_later_tags_and_feedback_land_again_but_ours_do_not(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    one, two = log_trace(mlflow_server, key, now - 3 * HOUR), log_trace(mlflow_server, key, now - 2 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    assert landing.land_through(now).landed == 2
    client = MlflowClient(mlflow_server.uri)
    for key in (
        "tracesieve.category",
        "eval_candidate",
        "tracesieve.rules",
    ):  # in the order in which we write them
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
    log_trace(mlflow_server, key, now - 5 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    landing.land_through(now)
    late = log_trace(mlflow_server, key, now - 5 * HOUR + 1_000_000)
    sooner = log_trace(mlflow_server, key, now - 40 * MINUTE)
    step = landing.step(
        now + 31_000_000
    )  # outside the overlap: the counts by the minute show the one of the last hour
    assert (step.landed, step.missed) == (1, 1)
    assert sooner in ids(tmp_path)
    step = landing.step(now + 16 * 60_000_000)
    assert (step.landed, step.missed) == (1, 1)
    assert late in ids(tmp_path)
    rows = open_store(str(tmp_path)).table("landing").read().sort("at_us").to_dicts()
    last = [row for row in rows if row["kind"] == "reconcile"][-1]
    assert [(last["experiment_id"], last["to_us"], last["landed_through_us"])] == [
        astuple(one) for one in landing.watermarks()
    ]
    landed = open_store(str(tmp_path)).table("traces").read(["landed_us"])
    assert last["landed_through_us"] == landed["landed_us"].max()


def test_sem_04_in_progress_traces_wait_and_are_counted_and_future_ones_land(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    insert(mlflow_server, key, f"p{key}-", 2, now // 1000 - 5000, "IN_PROGRESS")
    tomorrow = log_trace(mlflow_server, key, now + 24 * HOUR)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    step = landing.land_through(now)
    assert (step.landed, step.in_progress) == (1, 2)
    assert ids(tmp_path) == [tomorrow]


def test_a_trace_deleted_while_it_is_listed_is_skipped_and_counted(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    doomed, stays = (
        log_trace(mlflow_server, key, now - 60_000_000),
        log_trace(mlflow_server, key, now - 61_000_000),
    )

    class Deleting(MlflowReader):
        def fetch(self, infos):  # type: ignore[no-untyped-def]
            delete_trace(mlflow_server, key, doomed)
            return super().fetch(infos)

    landing = MlflowLanding(
        source(mlflow_server, name), open_store(str(tmp_path)), reader=Deleting(mlflow_server.uri)
    )
    step = landing.land_through(now)
    assert (step.landed, step.gone, ids(tmp_path)) == (1, 1, [stays])


def test_a_kill_between_the_rows_and_the_cursor_loses_nothing(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    key, name = experiment
    now = now_us()
    wanted = {log_trace(mlflow_server, key, now - 60_000_000 - i * 1000) for i in range(3)}
    store = open_store(str(tmp_path))
    landing = MlflowLanding(source(mlflow_server, name), store)
    landing._tables.record = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        landing.land_through(now)
    assert store.table("landing").version() == -1
    MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path))).land_through(now)
    assert set(ids(tmp_path)) == wanted


def test_sem_27_an_earlier_start_is_backfilled_with_an_estimate_first(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, name = experiment
    now = now_us()
    old = log_trace(mlflow_server, key, now - 50 * HOUR)
    copies = copy_traces(mlflow_server, old, [now - 45 * HOUR + i * MINUTE for i in range(30)])
    assert (
        MlflowLanding(source(mlflow_server, name, start="now"), open_store(str(tmp_path)))
        .land_through(now)
        .landed
        == 0
    )
    assert (
        MlflowLanding(source(mlflow_server, name, start="-24h"), open_store(str(tmp_path)))
        .land_through(now)
        .landed
        == 0
    )
    caplog.set_level(logging.INFO)
    earliest = MlflowLanding(source(mlflow_server, name, start="earliest"), open_store(str(tmp_path)))
    step = earliest.step(now)  # live: the backlog is read in pieces, and nothing is promised before it is in
    while step.backlog_us:
        assert not earliest.watermarks()
        assert stored_final_through_us(open_store(str(tmp_path))) is None
        step = earliest.step(now)
    assert sorted(ids(tmp_path)) == sorted([old, *copies])
    assert "backlog of 31 traces since" in caplog.text  # the estimate comes first
    assert "the backlog has been read, 31 traces" in caplog.text
    backlog = [
        row
        for row in open_store(str(tmp_path)).table("landing").read().to_dicts()
        if row["kind"] == "backlog"
    ]
    assert sum(row["landed"] for row in backlog) == 31


def test_an_unknown_experiment_is_told_with_those_there_are(
    mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    with pytest.raises(UnknownExperiment, match=experiment[1]):
        source(mlflow_server, "no-such-experiment").experiment_names()
    assert source(mlflow_server, experiment[0]).experiment_names() == {experiment[0]: experiment[1]}


def test_a_server_that_is_down_is_told_quickly() -> None:
    began = time.monotonic()
    config = MlflowSource(tracking_uri=f"http://127.0.0.1:{free_port()}", experiments=("a",))
    with pytest.raises(SourceDown, match="is the server up"):
        config.experiment_names()
    assert time.monotonic() - began < 20


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
        log_trace(mlflow_server, key, now - 60 * SECOND),
        log_trace(mlflow_server, key, now - 3 * HOUR),
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
    fine, broken = (log_trace(mlflow_server, key, now - i * MINUTE) for i in (1, 2))
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
    large = log_trace(mlflow_server, key, now - MINUTE, inputs={"q": "x" * 5_000_000})
    many = log_trace(mlflow_server, key, now - 2 * MINUTE)
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
    log_trace(mlflow_server, key, now - 5 * HOUR)
    landing = MlflowLanding(
        source(mlflow_server, name), open_store(str(tmp_path)), reader=Older(mlflow_server.uri)
    )
    assert landing.step(now).landed == 1
    log_trace(mlflow_server, key, now - 4 * HOUR)
    client.rename_experiment(key, f"{name}-renamed")
    step = landing.step(now + 16 * MINUTE)
    assert (step.landed, step.missed) == (1, 1)
    names = open_store(str(tmp_path)).table("traces").read().sort("landed_us")["experiment_name"].to_list()
    assert names == [name, f"{name}-renamed"]
    client.delete_experiment(key)
    caplog.clear()
    for i in (2, 3):
        landing.step(now + i * 16 * MINUTE)
    assert caplog.text.count("was deleted on the server") == 1


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
    with answering(status, body) as uri, pytest.raises(SourceDown) as told:
        MlflowSource(tracking_uri=uri, experiments=("a",)).experiment_names()
    assert wanted in str(told.value)
    assert "\n" not in str(told.value)


def test_databricks_without_credentials_is_one_line_of_mlflows_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SourceDown, match=r"source\.tracking_uri: databricks: ") as told:
        MlflowSource(tracking_uri="databricks", experiments=("a",)).experiment_names()
    assert "\n" not in str(told.value)

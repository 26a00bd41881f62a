"""Landing from a real MLflow server: complete, repeatable, and it notices what changes later."""

from __future__ import annotations

import logging
from dataclasses import astuple
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from support.landing_cases import complete, ids, now_us, source
from support.mlflow_traces import copy_traces, delete_trace, log_trace
from support.mlflow_traces import insert_bare as insert
from support.read_keys import keys_of, read_keys
from support.servers import MlflowServer

from rules.units import HOUR_US, MINUTE_US
from store import open_store
from store.final_through import stored_final_through_us
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e


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
    old = log_trace(mlflow_server, key, now - 20 * HOUR_US)
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
    assert complete(again) == now - now % 1000 + 18_000_000  # what settle leaves alone is not complete yet
    assert new in ids(tmp_path)
    stamps = open_store(str(tmp_path)).table("traces").read(["landed_us"])["landed_us"].to_list()
    assert len(set(stamps)) >= 2


def test_every_key_of_the_source_is_read_by_a_pass(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    config = source(mlflow_server, experiment[1])
    with read_keys() as read:
        MlflowLanding(config, open_store(str(tmp_path))).step(now_us())
    assert keys_of([MlflowSource]) - read == set()


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
    one, two = (
        log_trace(mlflow_server, key, now - 3 * HOUR_US),
        log_trace(mlflow_server, key, now - 2 * HOUR_US),
    )
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    assert landing.land_through(now).landed == 2
    client = MlflowClient(mlflow_server.uri)
    for key in (
        "tracesieve.category",
        "eval_candidate",
        "tracesieve.rules",
        "tracesieve.category.error_case",
    ):  # in the order in which we write them
        client.set_trace_tag(one, key, "error_case")
    assert landing.land_through(now).landed == 0
    client.set_trace_tag(one, "eval_candidate", "my_own")  # a person's own: SEMANTICS 22 wants it known
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
    log_trace(mlflow_server, key, now - 5 * HOUR_US)
    landing = MlflowLanding(source(mlflow_server, name), open_store(str(tmp_path)))
    landing.land_through(now)
    late = log_trace(mlflow_server, key, now - 5 * HOUR_US + 1_000_000)
    sooner = log_trace(mlflow_server, key, now - 40 * MINUTE_US)
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
    tomorrow = log_trace(mlflow_server, key, now + 24 * HOUR_US)
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
    old = log_trace(mlflow_server, key, now - 50 * HOUR_US)
    copies = copy_traces(mlflow_server, old, [now - 45 * HOUR_US + i * MINUTE_US for i in range(30)])
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
    step = earliest.step(now)  # live: the backlog is read in pieces, and nothing is complete before it is in
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

"""One Delta table through the whole Spark side: facts and windows, exactly once, whatever the order, split or crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from rules.model import Pack, build_pack, parse_rule
from store import Store, net_facts, open_store
from store.schemas import TRACES
from store.windows import merge
from streams.batch import BatchConfig
from streams.query import StreamMismatch, check_source, checkpoint_of, start, stream_id
from streams.sources import SourceError

pytestmark = pytest.mark.spark
T0 = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_US = int((T0 + timedelta(days=1)).timestamp() * 1e6)
SHORT = TRACES.remove(TRACES.get_field_index("landed_us"))


def clock() -> int:
    return NOW_US


def trace(number: int, **changes: Any) -> dict[str, Any]:
    begin = T0 + timedelta(seconds=3 * number)
    took = 100 + 37 * (number % 50)
    tool = {
        "span_id": f"s{number}b", "trace_id": f"tr-{number}", "parent_id": f"s{number}a", "start_time": begin,
        "end_time": begin + timedelta(milliseconds=took / 2), "status_code": "ERROR" if number % 10 == 0 else "OK",
        "status_message": "", "name": "search", "attributes": [("mlflow.spanType", '"TOOL"')], "events": [],
    }  # fmt: skip
    root = {**tool, "span_id": f"s{number}a", "parent_id": None, "name": "agent", "status_code": "OK",
            "attributes": [("mlflow.spanType", '"AGENT"')], "end_time": begin + timedelta(milliseconds=took)}  # fmt: skip
    row = {
        "trace_id": f"tr-{number}", "experiment_id": "1", "experiment_name": "support", "request_time": begin,
        "state": "ERROR" if number % 7 == 0 else "OK", "execution_duration_ms": float(took), "request": "{}",
        "response": "{}", "tags": [("mlflow.traceName", "agent"), ("environment", "production")],
        "trace_metadata": [("mlflow.trace.tokenUsage", '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}')],
        "spans": [root, tool], "assessments": [],
    }  # fmt: skip
    return {**row, **changes}


def write(table: Path, rows: list[dict[str, Any]]) -> None:
    write_deltalake(str(table), pa.Table.from_pylist(rows, schema=SHORT), mode="append")


def pack() -> Pack:
    window = {"window": {"size": "5m", "by": ["experiment"]}, "fire": "error_rate > 0.05"}
    rules = [
        {"id": "tool-errors", "when": "any(span, type = 'TOOL' AND status = 'ERROR')", "tag": "error_case"},
        {"id": "slow-rate", "where": "execution_time_ms > 1000", **window},
        {"id": "error-rate", **window},
    ]
    return build_pack([parse_rule(rule) for rule in rules])


def opened(path: Path, source: Path, rebuild: bool = False) -> tuple[Store, BatchConfig]:
    store = open_store(str(path))
    if not store.table("packs").read().height:
        text = pack().to_json()
        store.table("packs").append([{"pack_hash": "p1", "loaded_us": 1, "group_by": "", "pack": text}])
    checkpoint = checkpoint_of(str(path))
    return store, BatchConfig(str(path), stream_id(store, checkpoint, rebuild=rebuild), checkpoint, source_table=str(source))


def run(spark: Any, path: Path, source: Path, rebuild: bool = False) -> Store:
    store, config = opened(path, source, rebuild)
    start(spark, config, clock, once=True).wait()
    return store


FACT = ["trace_id", "experiment", "group", "start_us", "end_us", "state", "error", "duration_us", "tokens_total",
        "cost_nusd", "content_hash", "change_us", "hits"]  # fmt: skip


def result(store: Store) -> tuple[list[Any], list[Any]]:
    facts = net_facts(store.table("facts").read()).select(FACT).sort("trace_id")
    windows = merge(store.table("windows").read()).sort("start_us", "rule_hash")
    return facts.rows(), windows.rows()


def ends(store: Store) -> dict[str, int]:
    rows = store.table("batches").read(where=pl.col("phase") == "end")
    return {name: int(rows[name].sum()) for name in ("rows", "counted", "duplicates", "amended", "late", "quarantined")}


@pytest.fixture(scope="module")
def expected(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    folder = tmp_path_factory.mktemp("one")
    write(folder / "source", [trace(n) for n in range(200)])
    store = run(spark, folder / "store", folder / "source")
    assert ends(store)["counted"] == 200
    return result(store)


def test_sem_06_07_09_facts_and_windows_say_what_the_traces_say(expected: tuple[list[Any], list[Any]]) -> None:
    facts, windows = expected
    assert len(facts) == 200
    assert sum(bool(row[6]) for row in facts) == 29
    assert sum("tool-errors" in [hit["rule"] for hit in row[-1]] for row in facts) == 20
    assert facts[0][2] == ["support", "agent", "production"]
    assert {row[8] for row in facts} == {7}
    assert {row[4] for row in windows} == {"", pack().window_rules[0].hash}
    assert sum(row[5] for row in windows if row[4] == "") == 200
    assert sum(row[5] for row in windows if row[4]) == sum(row[7] > 1_000_000 for row in facts)


def test_sem_28_many_shuffled_repeated_batches_equal_one(spark: Any, tmp_path: Path, expected: Any) -> None:
    rows = [trace(n) for n in reversed(range(200))]
    for part in (rows[:50], rows[30:90], rows[90:]):
        write(tmp_path / "source", part)
        store = run(spark, tmp_path / "store", tmp_path / "source")
    assert result(store) == expected
    assert ends(store)["duplicates"] == 20


def test_sem_28_update_merge_and_optimize_between_batches(spark: Any, tmp_path: Path, expected: Any) -> None:
    source = tmp_path / "source"
    early = {0: {"state": "IN_PROGRESS"}, 7: {"state": "STATE_UNSPECIFIED"}}
    write(source, [trace(n, **early.get(n, {})) for n in range(100)])
    run(spark, tmp_path / "store", source)
    spark.sql(f"update delta.`{source}` set state = 'OK' where trace_id = 'tr-7'")
    run(spark, tmp_path / "store", source)
    late = spark.createDataFrame([("tr-7", "ERROR"), ("tr-0", "ERROR")], "id string, s string")
    late.createOrReplaceTempView("late")
    spark.sql(f"merge into delta.`{source}` t using late on t.trace_id = late.id when matched then update set state = s")
    spark.sql(f"optimize delta.`{source}`")
    write(source, [trace(n) for n in range(100, 200)])
    store = run(spark, tmp_path / "store", source)
    assert result(store) == expected


def test_sem_02_an_amendment_takes_the_old_values_back(spark: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source, [trace(1)])
    run(spark, tmp_path / "store", source)
    write(source, [trace(1, execution_duration_ms=9000.0, state="ERROR")])
    store = run(spark, tmp_path / "store", source)
    assert store.table("facts").read()["weight"].to_list().count(-1) == 1
    facts, windows = result(store)
    assert [row[7] for row in facts] == [9_000_000]
    assert [row[4] for row in windows] == ["", pack().window_rules[0].hash]  # 9 s is slow
    assert [row[5] for row in windows] == [1, 1]
    assert ends(store)["amended"] == 1


def test_sem_08_rows_that_cannot_be_read_are_quarantined_and_the_rest_goes_on(spark: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    broken = [trace(1, trace_id=None), trace(2, request_time=None), trace(3, state="WHAT"), trace(4)]
    write(source, broken)
    store = run(spark, tmp_path / "store", source)
    reasons = sorted(store.table("quarantine").read()["reason"].to_list())
    assert reasons == ["no_request_time", "no_trace_id", "unknown_state"]
    assert ends(store)["counted"] == 1


def test_sem_08_removed_checkpoint_refuses_and_rebuild_counts_nothing_twice(spark: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source, [trace(n) for n in range(20)])
    store = run(spark, tmp_path / "store", source)
    before = result(store)
    os.rename(tmp_path / "store" / "checkpoint", tmp_path / "gone")
    with pytest.raises(StreamMismatch, match="--rebuild"):
        opened(tmp_path / "store", source)
    write(source, [trace(20)])
    store = run(spark, tmp_path / "store", source, rebuild=True)
    assert ends(store) | {"rows": 0} == {"rows": 0, "counted": 21, "duplicates": 20, "amended": 0, "late": 0, "quarantined": 0}
    assert result(store) != before
    run(spark, tmp_path / "store", source)


def test_a_missing_or_retyped_column_and_a_view_are_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    rows = pa.Table.from_pylist([trace(1)], schema=SHORT).drop_columns(["tags"])
    write_deltalake(str(source), rows.set_column(5, "state", pa.array([1])))
    config = BatchConfig(str(tmp_path), "s", str(tmp_path / "cp"), source_table=str(source))
    with pytest.raises(SourceError, match=r"column state is int64.*column tags is missing"):
        check_source(config)
    (tmp_path / "view").mkdir()
    with pytest.raises(SourceError, match="base tables"):
        check_source(replace(config, source_table=str(tmp_path / "view")))


@pytest.mark.slow
def test_sem_28_killed_and_restarted_equals_one(spark: Any, tmp_path: Path, expected: Any) -> None:
    source = tmp_path / "source"
    for part in range(10):
        write(source, [trace(n) for n in range(part * 20, part * 20 + 20)])
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]
import test_delta_stream as t
from pathlib import Path
from streams.session import SparkConfig, session
spark = session(SparkConfig(master="local[2]", memory="1g", conf={{}}))
t.one_file_a_batch(spark, Path({str(tmp_path / "store")!r}), Path({str(source)!r}))
"""
    for wanted in (1, 4):
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        facts = tmp_path / "store" / "facts" / "_delta_log"
        until = time.monotonic() + 90
        while len(list(facts.glob("*.json"))) < wanted and time.monotonic() < until and child.poll() is None:
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert result(run(spark, tmp_path / "store", source)) == expected


def one_file_a_batch(spark: Any, path: Path, source: Path) -> None:
    import streams.query

    streams.query._MOST_BYTES = "1"
    run(spark, path, source)

"""One Delta table through the whole Spark side: facts and windows, exactly once, whatever the order, split or
crash.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from support.delta_cases import SHORT, ends, opened, result, rule_set, run, trace, write

from streams.batch.config import BatchConfig
from streams.errors import SourceError, StreamMismatch
from streams.query import check_source
from streams.sources.delta_traces.table import DeltaTracesTable

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def expected(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    folder = tmp_path_factory.mktemp("one")
    write(folder / "source", [trace(n) for n in range(200)])
    store = run(spark, folder / "store", folder / "source")
    assert ends(store)["counted"] == 200
    return result(store)


def test_sem_06_07_09_facts_and_windows_say_what_the_traces_say(
    expected: tuple[list[Any], list[Any]],
) -> None:
    facts, windows = expected
    assert len(facts) == 200
    assert sum(bool(row[6]) for row in facts) == 29
    assert sum("tool-errors" in [hit["rule"] for hit in row[-1]] for row in facts) == 20
    assert facts[0][2] == ["support", "agent", "production"]
    assert {row[8] for row in facts} == {7}
    assert {row[4] for row in windows} == {"", rule_set().alert_rules[0].hash}
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
    spark.sql(
        f"merge into delta.`{source}` t using late on t.trace_id = late.id when matched then update set "
        "state = s"
    )
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
    assert [row[4] for row in windows] == ["", rule_set().alert_rules[0].hash]  # 9 s is slow
    assert [row[5] for row in windows] == [1, 1]
    assert ends(store)["amended"] == 1


def test_sem_08_rows_that_cannot_be_read_are_quarantined_and_the_rest_goes_on(
    spark: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    broken = [trace(1, trace_id=None), trace(2, request_time=None), trace(3, state="WHAT"), trace(4)]
    write(source, broken)
    store = run(spark, tmp_path / "store", source)
    reasons = sorted(store.table("quarantine").read()["reason"].to_list())
    assert reasons == ["no_request_time", "no_trace_id", "unknown_state"]
    assert ends(store)["counted"] == 1


def test_sem_08_removed_checkpoint_refuses_and_rebuild_counts_nothing_twice(
    spark: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    write(source, [trace(n) for n in range(20)])
    store = run(spark, tmp_path / "store", source)
    before = result(store)
    os.rename(tmp_path / "store" / "checkpoint", tmp_path / "gone")
    with pytest.raises(StreamMismatch, match="--rebuild"):
        opened(tmp_path / "store", source)
    write(source, [trace(20)])
    store = run(spark, tmp_path / "store", source, rebuild=True)
    assert ends(store) | {"rows": 0} == {
        "rows": 0,
        "counted": 21,
        "duplicates": 20,
        "amended": 0,
        "late": 0,
        "quarantined": 0,
        "deleted": 0,
    }
    assert result(store) != before
    run(spark, tmp_path / "store", source)


def test_a_missing_or_retyped_column_and_a_view_are_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    rows = pa.Table.from_pylist([trace(1)], schema=SHORT).drop_columns(["tags"])
    write_deltalake(str(source), rows.set_column(5, "state", pa.array([1])))
    config = BatchConfig(str(tmp_path), "s", str(tmp_path / "cp"), table=DeltaTracesTable(str(source)))
    with pytest.raises(SourceError, match=r"column state is int64.*column tags is missing"):
        check_source(config)
    (tmp_path / "view").mkdir()
    with pytest.raises(SourceError, match="base tables"):
        check_source(replace(config, table=DeltaTracesTable(str(tmp_path / "view"))))

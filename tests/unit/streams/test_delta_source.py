"""A Delta source without Spark: what is refused, and what its log says of the order of files and of deleted
rows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support.delta_cases import opened, trace, write

from streams.batch.resolve import SLACK_US, known_where
from streams.checkpoint import offset, planned_batch
from streams.delta_log import arrivals, versions
from streams.errors import SourceError
from streams.query import check_source
from streams.sources.delta_traces.table import DeltaTracesTable
from streams.spark_errors import line_of, schema_moved_on


def test_plain_parquet_and_a_missing_table_are_refused(tmp_path: Path) -> None:
    _, config = opened(tmp_path / "store", tmp_path / "plain")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "part-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="is not a Delta table"):
        check_source(config)
    with pytest.raises(SourceError, match="does not exist"):
        check_source(replace(config, table=DeltaTracesTable(str(tmp_path / "nowhere"))))


def test_sem_03_known_ids_are_looked_up_within_an_hour_of_the_start() -> None:
    starts = [0, SLACK_US, SLACK_US + 1, 1]
    known = pl.DataFrame(
        {
            "trace_id": ["a"] * 4,
            "start_us": starts,
            "stream_id": ["s"] * 3 + ["own"],
            "batch_id": [0, 0, 0, 7],
        }
    )
    found = known.filter(
        known_where(
            pl.Series(["a"]), pl.Series([0]), (pl.col("stream_id") == "own") & (pl.col("batch_id") == 7)
        )
    )
    assert SLACK_US == 3_600_000_000
    assert found["start_us"].to_list() == [0, SLACK_US]


def planned(checkpoint: Path, batch: int, table: Path, version: int, index: int = -1) -> None:
    (checkpoint / "offsets").mkdir(parents=True, exist_ok=True)
    read_up_to = {
        "reservoirId": str(DeltaTable(str(table)).metadata().id),
        "reservoirVersion": version,
        "index": index,
        "isStartingVersion": False,
    }
    (checkpoint / "offsets" / str(batch)).write_text(f"v1\n{{}}\n{json.dumps(read_up_to)}")


def spark_name(table: Path, file: str) -> str:
    return (table / file).as_uri()


def two_rows(table: Path, **options: Any) -> None:
    write_deltalake(str(table), pa.table({"id": ["a", "b"], "day": ["x y", "x y"]}), mode="append", **options)


def test_sem_02_files_come_in_the_order_of_their_commits_also_within_a_millisecond(tmp_path: Path) -> None:
    table, checkpoint = tmp_path / "table", tmp_path / "checkpoint"
    for _ in range(6):
        two_rows(table, partition_by=["day"])
    for version in range(6):  # all in one millisecond, the later ones dated before the earlier
        file = table / "_delta_log" / f"{version:020}.json"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] = 1_000 - version // 3
        file.write_text("\n".join(map(json.dumps, lines)))
    planned(checkpoint, 3, table, 2)
    planned(checkpoint, 4, table, 6)
    files = [one.files[0] for one in versions(str(table), 0, 5)]
    assert "%20" in files[0]
    names = [spark_name(table, file) for file in files[2:]]
    found = arrivals(str(table), str(checkpoint), 4, names[::-1]).times_us
    assert sorted(found, key=found.__getitem__) == names
    assert len(set(found.values())) == 4


def test_sem_02_a_snapshot_is_ordered_by_the_files_dates(tmp_path: Path) -> None:
    table = tmp_path / "table"
    for _ in range(3):
        two_rows(table)
    names = [spark_name(table, one.files[0]) for one in versions(str(table), 0, 2)]
    found = arrivals(str(table), str(tmp_path / "checkpoint"), 0, names)
    assert set(found.times_us) == set(names)
    assert found.deleted == 0


def test_deleted_rows_are_counted_once_by_the_batch_that_finishes_their_commit(tmp_path: Path) -> None:
    table, checkpoint = tmp_path / "table", tmp_path / "checkpoint"
    two_rows(table)
    DeltaTable(str(table)).delete("id = 'a'")
    source = pa.table({"id": ["b"], "day": ["x"]})
    DeltaTable(str(table)).merge(source, "s.id = t.id", "s", "t").when_matched_delete().execute()
    planned(checkpoint, 0, table, 1)
    planned(checkpoint, 1, table, 2, index=0)  # in the midst of version 2
    planned(checkpoint, 2, table, 3)
    assert [arrivals(str(table), str(checkpoint), batch, []).deleted for batch in (0, 1, 2)] == [0, 1, 1]
    assert planned_batch(str(checkpoint)) == 2
    assert offset(str(checkpoint), 7) is None


def test_what_delta_says_in_a_page_is_told_in_a_line() -> None:
    text = "[STREAM_FAILED] … [DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change"
    assert "--rebuild" in line_of(text)
    assert not schema_moved_on(text)
    assert schema_moved_on("[STREAM_FAILED] … [DELTA_STREAMING_METADATA_EVOLUTION] The schema … has changed")
    assert "--rebuild" in line_of("[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file")


def test_a_view_has_no_log(tmp_path: Path) -> None:
    write(tmp_path / "source", [trace(1)])
    _, config = opened(tmp_path / "store", tmp_path / "source")
    check_source(config)
    (tmp_path / "view").mkdir()
    with pytest.raises(SourceError, match="base tables"):
        check_source(replace(config, table=DeltaTracesTable(str(tmp_path / "view"))))

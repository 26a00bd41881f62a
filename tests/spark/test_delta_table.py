"""What a source table may be (partitioned, mapped, with deletion vectors), and what of it is refused and
how.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from support.delta_cases import ends, opened, result, run, trace, write

from streams.checkpoint import stream_id
from streams.errors import SourceError, StreamMismatch
from streams.query import check_source

pytestmark = pytest.mark.spark


def test_a_partitioned_table_with_column_mapping_and_deletion_vectors(spark: Any, tmp_path: Path) -> None:
    source, rows = tmp_path / "source", tmp_path / "rows"
    write(rows, [trace(n, experiment_id=f"a b/{n % 2}") for n in range(6)])
    spark.sql(
        f"create table delta.`{source}` using delta partitioned by (experiment_id) tblproperties "
        "('delta.enableDeletionVectors'='true', 'delta.columnMapping.mode'='name') "
        f"as select * from delta.`{rows}`"
    )
    run(spark, tmp_path / "store", source)
    spark.sql(f"update delta.`{source}` set state = 'STATE_UNSPECIFIED' where trace_id = 'tr-2'")
    spark.sql(f"delete from delta.`{source}` where trace_id = 'tr-4'")
    store = run(spark, tmp_path / "store", source)
    facts, windows = result(store)
    assert {row[0]: row[5] for row in facts} == {
        f"tr-{n}": "STATE_UNSPECIFIED" if n == 2 else trace(n)["state"] for n in range(6)
    }
    assert sum(row[5] for row in windows if row[4] == "") == 6
    assert ends(store) | {"rows": 0, "duplicates": 0} == {
        "rows": 0,
        "counted": 6,
        "duplicates": 0,
        "amended": 1,
        "late": 0,
        "quarantined": 0,
        "deleted": 1,
    }


def test_a_table_made_anew_cleaned_versions_and_an_old_checkpoint_are_refused(
    spark: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    write(source, [trace(1)])
    run(spark, tmp_path / "store", source)
    shutil.copytree(tmp_path / "store" / "checkpoint", tmp_path / "older")
    write(source, [trace(2)])
    store = run(spark, tmp_path / "store", source)
    _, config = opened(tmp_path / "store", source)
    shutil.rmtree(tmp_path / "store" / "checkpoint")
    shutil.copytree(tmp_path / "older", tmp_path / "store" / "checkpoint")
    with pytest.raises(StreamMismatch, match=r"older than .*--rebuild"):
        stream_id(store, config.checkpoint)
    for number in range(3, 6):
        write(source, [trace(number)])
    DeltaTable(str(source)).create_checkpoint()
    for version in range(4):
        (source / "_delta_log" / f"{version:020}.json").unlink()
    gone = (
        r"versions [12] to 3 are gone .* committed after 20\d\d-.* UTC and before 20\d\d-.* UTC .*run "
        r"--rebuild"
    )
    with pytest.raises(SourceError, match=gone):
        check_source(config)
    shutil.rmtree(source)
    write(source, [trace(1)])
    with pytest.raises(SourceError, match=r"not the table that was read so far.*--rebuild"):
        check_source(config)

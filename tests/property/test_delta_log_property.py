"""A table's commits, read in any batches, end as one: the log, the batch and the facts, with Spark's part
played by delta-rs.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from support.delta_cases import NOW_US, SHORT, ends, result, rule_set
from support.delta_script import DOOMED, Script, play

from store import Store, open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, process_batch
from streams.sources.delta_traces.table import DeltaTracesTable


def micros(when: Any) -> int:
    return int(when.timestamp() * 1_000_000)


def narrow_of(file: Path) -> list[dict[str, Any]]:
    """What Spark would hand over of a file; the content is what the script changes."""
    rows = []
    for row in pq.read_table(
        file, columns=["trace_id", "request_time", "state", "execution_duration_ms"]
    ).to_pylist():
        start, took = micros(row["request_time"]), row["execution_duration_ms"]
        content = int(took) * 10 + ["OK", "ERROR", "STATE_UNSPECIFIED"].index(row["state"])
        rows.append(
            {
                "trace_id": row["trace_id"],
                "experiment": "x",
                "group": ["x", "", ""],
                "start_us": start,
                "duration_ms": took,
                "state": row["state"],
                "content_hash": content,
                "change_us": start + int(took * 1000),
                "hits": [],
                "file": file.as_uri(),
            }
        )
    return rows


def added(table: Path, version: int) -> list[Path]:
    text = (table / "_delta_log" / f"{version:020}.json").read_text()
    actions = [json.loads(line) for line in text.splitlines()]
    return [
        table / action["add"]["path"] for action in actions if "add" in action and action["add"]["dataChange"]
    ]


def read(folder: Path, table: Path, cuts: list[int], shuffle: random.Random) -> Store:
    """Batches of the versions between the cuts; the rows of a batch in any order, as Spark's tasks may
    end.
    """
    store = open_store(str(folder))
    RuleSets(store).put(rule_set(), (), 1)
    config = BatchConfig(str(folder), "s", str(folder / "checkpoint"), table=DeltaTracesTable(str(table)))
    worker = BatchWorker(config, lambda: NOW_US, lambda frame: frame)
    (folder / "checkpoint" / "offsets").mkdir(parents=True)
    for batch, (first, last) in enumerate(zip([0, *cuts], cuts, strict=False)):
        told = {"reservoirId": "", "reservoirVersion": last, "index": -1, "isStartingVersion": False}
        (folder / "checkpoint" / "offsets" / str(batch)).write_text("v1\n{}\n" + json.dumps(told))
        rows = [
            row for version in range(first, last) for file in added(table, version) for row in narrow_of(file)
        ]
        shuffle.shuffle(rows)
        process_batch(pa.Table.from_pylist(rows, schema=NARROW), batch, worker)  # type: ignore[arg-type]
    return store


@pytest.mark.parametrize("seed", [11, 12])
def test_sem_02_28_commits_read_in_any_batches_end_as_one(tmp_path: Path, seed: int) -> None:
    table, shuffle = tmp_path / "table", random.Random(seed)
    DeltaTable.create(str(table), SHORT)
    script = Script(table, seed)
    play(script, 24, lambda: None)
    last = DeltaTable(str(table)).version() + 1
    one = read(tmp_path / "one", table, [1, last], shuffle)
    each = read(tmp_path / "each", table, list(range(1, last + 1)), shuffle)
    some = read(tmp_path / "some", table, sorted({1, last, *shuffle.sample(range(2, last), 5)}), shuffle)
    assert result(each) == result(one)
    assert result(some) == result(one)
    stands = {row[0]: (row[5], row[7]) for row in result(one)[0]}
    alive = {
        f"tr-{number}": (row["state"], int(row["execution_duration_ms"] * 1000))
        for number, row in script.now.items()
    }
    assert {name: value for name, value in stands.items() if int(name[3:]) < DOOMED} == alive
    assert [ends(store)["deleted"] for store in (one, each, some)] == [script.deleted] * 3
    weights = (
        each.table("facts").read().group_by("trace_id", "content_hash").agg(pl.col("weight").sum())["weight"]
    )
    assert weights.is_in([0, 1]).all()

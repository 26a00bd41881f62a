"""A stream over the store's own ``traces`` while maintenance compacts it, expires files, deletes unused ones
and cleans the log.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rules.rule_set import build_rule_set, parse_rule
from rules.units import DAY_US
from store import Store, open_store
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.schedule import Maintenance
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.checkpoint import checkpoint_of, needed_version, read_through, stream_id
from streams.query import start
from streams.sources.landed import LandedTable

pytestmark = pytest.mark.spark
NOW = time.time_ns() // 1000


def land(store: Store, first: int, number: int, days_ago: float = 0) -> None:
    """A commit a trace, as landing does."""
    for n in range(first, first + number):
        at = NOW - int(days_ago * DAY_US) + n
        begin = datetime.fromtimestamp(NOW / 1e6, UTC) - timedelta(hours=1)
        row = {
            "trace_id": f"t{n}",
            "experiment_id": "1",
            "request_time": begin,
            "state": "OK",
            "execution_duration_ms": 5.0,
            "tags": [],
            "trace_metadata": [],
            "spans": [],
            "landed_us": at,
        }
        store.table("traces").append([row])


def opened(uri: str) -> tuple[Store, BatchConfig]:
    store = open_store(uri)
    store.table("traces").create()
    rule = parse_rule({"id": "a", "when": "execution_time_ms > 1", "tag": "x"})
    RuleSets(store).put(build_rule_set([rule]), (), 1)
    checkpoint = checkpoint_of(uri)
    return store, BatchConfig(
        uri, stream_id(store, checkpoint), checkpoint, table=LandedTable(store.table("traces").uri)
    )


def read(spark: Any, config: BatchConfig) -> tuple[int, int]:
    """Let the stream read what there is; how many rows it has been given and how many facts there are by
    now.
    """
    start(spark, config, lambda: NOW, once=True).wait()
    store = open_store(config.store_path)
    ends = store.table("batches").read(where=pl.col("phase") == "end")
    return int(ends["rows"].sum()), store.table("facts").read().height


def age(folder: Path) -> None:
    """Make every file of the table two hours older, by its date and by what a commit says of itself."""
    for file in folder.rglob("*"):
        if file.suffix == ".json" and file.parent.name == "_delta_log":
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            for line in lines:
                if "commitInfo" in line:
                    line["commitInfo"]["timestamp"] -= 7_200_000
            file.write_text("\n".join(map(json.dumps, lines)))
        if file.is_file():
            os.utime(file, (time.time() - 7200,) * 2)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def maintain(store: Store, config: BatchConfig) -> list[str]:
    return Maintenance(store, store_needs(config)).maintain("traces", NOW)


def store_needs(config: BatchConfig) -> Any:
    return MaintenanceNeeds(source_next=lambda: needed_version(config.checkpoint))


def test_sem_10_19_the_stream_reads_every_trace_once_whatever_upkeep_does(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.maintenance.compact.SMALL_FILES", 5)
    monkeypatch.setattr("store.maintenance.clean.UNUSED_HOURS", 0)
    made, config = opened(str(tmp_path / "st"))
    table = tmp_path / "st" / "traces"
    land(made, 0, 6, days_ago=40)
    assert read(spark, config) == (6, 6)
    # Expired, compacted and a night old behind the stream: nothing is read again, and a restart finds what it
    # asks for.
    assert "traces: 5 rows expired" in maintain(made, config)
    land(made, 6, 6)
    assert read(spark, config) == (12, 12)
    assert "traces: 6 files became 1" in maintain(made, config)
    age(table)
    maintain(made, config)
    assert read(spark, config) == (12, 12)
    # Compacted before the stream has read it: files and log stay until it has.
    land(made, 12, 6)
    assert "traces: 7 files became 1" in maintain(made, config)
    age(table)
    there = files(table)
    assert maintain(made, config) == []
    assert files(table) == there
    assert read(spark, config) == (18, 18)
    # Once it has gone on beyond them they go, and it goes on all the same.
    for number in (18, 19):
        land(made, number, 1)
        assert read(spark, config) == (number + 1, number + 1)
    assert any("unused files deleted" in line for line in maintain(made, config))
    assert not (table / "_delta_log" / f"{0:020d}.json").exists()
    assert len(list(table.glob("*.parquet"))) == 3
    land(made, 20, 1)
    assert read(spark, config) == (21, 21)


def test_a_store_on_a_file_uri_is_read_and_written_by_the_whole_stream(spark: Any, tmp_path: Path) -> None:
    uri = (tmp_path / "st").as_uri()
    made, config = opened(uri)
    land(made, 0, 2)
    assert read(spark, config) == (2, 2)
    _, again = opened(uri)
    assert again.stream_id == config.stream_id
    land(made, 2, 1)
    assert read(spark, again) == (3, 3)
    assert read_through(config.checkpoint) is not None

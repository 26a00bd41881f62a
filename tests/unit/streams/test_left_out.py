"""How many rows a first start leaves out, by a Delta table's log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from support.made_facts import batch, fact, put

from rules.rule_set import build_rule_set, parse_rule
from store import open_store
from streams.sources.base import LeftOut, SourcePlace
from streams.sources.delta_traces.source import DeltaTracesSource

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY_US = 86_400_000_000


def write(table: Path, *ages_days: int, column: str = "request_time") -> None:
    """One file with a row of each age."""
    times = pa.array([NOW - timedelta(days=age) for age in ages_days], pa.timestamp("us", "UTC"))
    write_deltalake(str(table), pa.table({column: times}), mode="append")


def test_the_rows_of_files_that_are_older_than_the_horizon_are_counted(tmp_path: Path) -> None:
    for ages in ((40, 35, 31), (50,), (40, 1), (2,)):
        write(tmp_path / "traces", *ages)
    source = DeltaTracesSource(table="traces")
    place, store = SourcePlace(str(tmp_path), str(tmp_path / "st")), open_store(str(tmp_path / "st"))
    count = source.left_out(store, place, NOW_US, 30 * DAY_US)
    assert count is not None and count.by_horizon
    assert count.ask() == LeftOut(4, NOW_US - 30 * DAY_US)
    rules = build_rule_set([parse_rule({"id": "a", "when": "status = 'ERROR'", "tag": "t"})])
    put(store, rules, 1)
    batch(store, 0, [fact("a", 1)], rules)
    assert source.left_out(store, place, NOW_US, 30 * DAY_US) is None  # said at the first start alone


def test_a_column_of_another_name_and_one_without_statistics(tmp_path: Path) -> None:
    write(tmp_path / "traces", 40, column="began")
    place, store = SourcePlace(str(tmp_path), str(tmp_path / "st")), open_store(str(tmp_path / "st"))
    renamed = DeltaTracesSource(table="traces", columns={"request_time": "began"})
    count = renamed.left_out(store, place, NOW_US, 30 * DAY_US)
    assert count is not None and count.ask().traces == 1
    unknown = DeltaTracesSource(table="traces").left_out(store, place, NOW_US, 30 * DAY_US)
    assert unknown is not None and unknown.ask().traces is None

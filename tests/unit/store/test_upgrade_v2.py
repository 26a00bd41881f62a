"""A store that the program of version 2 wrote is opened and carried on: nothing is lost, nothing made twice.

The fixture ends in the middle of a batch, whose facts are in and whose windows are not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from support.delta_cases import follow
from support.store_v2 import (
    BEFORE_US,
    MINUTE,
    START_US,
    Killed,
    answer,
    document_of,
    killed_at,
    report_of,
    restored,
)

import store.upgrades.conversion
from sinks.undo import withdrawals
from store import Store, StoreUnwritable, StoreVersionError, open_store
from store.batches import is_half_written, last_stream
from store.files import SmallFiles
from store.rule_sets import RuleSets
from store.upgrades.conversion import Conversion, convert
from store.upgrades.upgrade import STORE_VERSION
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, process_batch

CUT = 3  # the batch that was cut short


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return restored(tmp_path)


def worker_of(path: Path, store: Store, rows: Callable[[Any], pa.Table]) -> BatchWorker:
    stream = last_stream(store)
    assert stream is not None
    return BatchWorker(BatchConfig(str(path), stream, f"{path}/checkpoint"), lambda: BEFORE_US, rows)


def go_on(store: Store, at_us: int) -> None:
    """One pass of followers that begin anew, with the rules in force."""
    stream, present = last_stream(store), RuleSets(store).in_force()
    assert stream is not None
    assert present is not None
    follow(store, stream, present.rules, at_us)


def test_what_the_program_says_of_its_store_is_what_the_former_one_said(old: Path) -> None:
    kept = {name: tree(old / name) for name in ("traces", "checkpoint")}
    store = open_store(str(old))
    assert document_of(store, BEFORE_US) == answer("before")
    assert {name: tree(old / name) for name in ("traces", "checkpoint")} == kept  # not touched
    assert not (old / "packs").exists()
    assert not (old / "candidates").exists()
    assert store.table("facts").read()["group_by"].unique().to_list() == [
        ["experiment", "trace_name", "environment"]
    ]
    assert sorted(json.loads((old / "tracesieve-store.json").read_text()).items()) == [
        ("store_version", STORE_VERSION)
    ]
    versions = {name: table.version() for name, table in store.tables().items()}
    assert {name: table.version() for name, table in open_store(str(old)).tables().items()} == versions


def test_sem_22_tags_that_version_2_wrote_are_the_category_that_they_name(old: Path) -> None:
    found = report_of(open_store(str(old)), BEFORE_US)
    rows = {row["category"]: row for row in found["categories"]}
    known = answer("before")
    delivered = {key for key, outcome in known["outcomes"] if outcome == "delivered"}
    newest = {
        m["target"]: m for m in known["messages"] if m["sink"] == "mlflow_tags" and m["key"] in delivered
    }
    named = Counter(message["payload"]["category"] for message in newest.values())
    del named[None]
    assert {name: row["tagged"] for name, row in rows.items()} == {**named, "golden": 1}
    in_set = Counter(dataset for dataset, trace in {(row[0], row[2]) for row in known["records"]})
    assert {f"tracesieve_{name}": row["in_set"] for name, row in rows.items() if row["in_set"]} == dict(
        in_set
    )


def test_sem_08_a_batch_cut_short_is_finished_with_the_rules_that_made_its_facts(old: Path) -> None:
    store = open_store(str(old))
    assert is_half_written(store)
    made_with = RuleSets(store).in_force()
    assert made_with is not None
    (old.parent / "rules.yaml").unlink()  # they have been edited since, which does not matter here

    def never(_frame: Any) -> pa.Table:
        raise AssertionError("its facts are in")

    process_batch(None, CUT, worker_of(old, store, never))  # type: ignore[arg-type]
    assert not is_half_written(store)
    end = store.table("batches").read(where=(pl.col("batch_id") == CUT) & (pl.col("phase") == "end"))
    assert end.select("rows", "counted", "duplicates", "rule_set_hash").rows() == [(5, 5, 0, made_with.hash)]
    windows = store.table("windows").read(where=pl.col("batch_id") == CUT)
    assert windows.group_by("rule_hash").agg(pl.col("traces").sum())["traces"].to_list() == [5, 5]


def test_sem_19_22_23_followers_go_on_and_nothing_is_tagged_twice_nor_what_undo_took_back(old: Path) -> None:
    store = open_store(str(old))
    before = answer("before")
    go_on(store, START_US + 31 * MINUTE)
    assert document_of(store, BEFORE_US) == before  # nothing new, so no message, verdict or notification
    process_batch(None, CUT, worker_of(old, store, lambda _: NARROW.empty_table()))  # type: ignore[arg-type]
    go_on(store, START_US + 35 * MINUTE)
    known = {message["key"] for message in before["messages"]}
    new = [one for one in document_of(store, BEFORE_US)["messages"] if one["key"] not in known]
    cut = store.table("facts").read(["trace_id"], pl.col("batch_id") == CUT)["trace_id"]
    tagged = [one["target"] for one in new if one["sink"] == "mlflow_tags"]
    assert sorted(tagged) == sorted(cut)
    undone = store.table("facts").read(["trace_id"], pl.col("end_us") < START_US)["trace_id"]
    assert len(undone) == 5
    assert not {one["target"] for one in new} & set(undone)


def test_sem_02_a_next_batch_counts_new_traces_once_and_knows_the_old_ones(old: Path) -> None:
    store = open_store(str(old))
    process_batch(None, CUT, worker_of(old, store, lambda _: NARROW.empty_table()))  # type: ignore[arg-type]
    known = store.table("facts").read(where=pl.col("batch_id") == CUT).row(0, named=True)
    row = {name: known[name] for name in NARROW.names if name in known}
    row |= {"duration_ms": known["duration_us"] / 1000, "landed_us": known["arrived_us"]}
    rows = [row, {**row, "trace_id": "tr-new"}]
    for _ in range(2):  # repeated, as after a crash
        table = pa.Table.from_pylist(rows, schema=NARROW)
        process_batch(None, CUT + 1, worker_of(old, store, lambda _, table=table: table))  # type: ignore[misc]
    end = store.table("batches").read(where=(pl.col("batch_id") == CUT + 1) & (pl.col("phase") == "end"))
    assert end.select("rows", "counted", "duplicates").rows() == [(2, 1, 1)]
    assert document_of(store, BEFORE_US)["report"]["traces"] == answer("before")["report"]["traces"] + 1


def test_sem_23_undo_takes_back_what_stands(old: Path) -> None:
    store = open_store(str(old))
    targets = {(one["sink"], one["target"]) for one in answer("before")["messages"]}
    wanted = {pair for pair in targets if pair[0] in ("mlflow_tags", "mlflow_datasets")}
    assert {(one.sink, one.target) for one in withdrawals(store)} == wanted


@pytest.mark.parametrize("write", [0, 1, 4, 9, 17, 25])
def test_an_upgrade_that_is_cut_short_is_finished_by_the_next_one(old: Path, write: int) -> None:
    with pytest.raises(Killed), killed_at(write):
        open_store(str(old))
    with pytest.raises(StoreVersionError, match="`tracesieve run` upgrades it"):
        open_store(str(old), create=False)
    assert document_of(open_store(str(old)), BEFORE_US) == answer("before")


@pytest.mark.parametrize("left", ["_delta_log/00000000000000000001.json", "*.parquet"])
def test_an_upgrade_that_is_cut_short_while_it_deletes_a_table_is_finished(old: Path, left: str) -> None:
    def half(place: SmallFiles) -> None:
        """Deletes a table but for some files, and is killed."""
        kept = set(Path(place.uri).glob(left))
        assert kept
        for file in Path(place.uri).rglob("*"):
            if file.is_file() and file not in kept:
                file.unlink()
        raise Killed

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        patched.setattr(SmallFiles, "clear", half)
        open_store(str(old))
    assert document_of(open_store(str(old)), BEFORE_US) == answer("before")
    assert not (old / "packs").exists()


def test_a_program_of_version_2_refuses_a_store_that_is_half_upgraded(old: Path) -> None:
    with pytest.raises(Killed), killed_at(5):
        open_store(str(old))
    text = json.loads((old / "tracesieve-store.json").read_text())
    assert text == {"store_version": 3, "upgrading_from": 2}  # which that program reads as 3, and refuses


def test_a_disk_that_is_full_is_one_message_and_the_files_that_were_written_stay(old: Path) -> None:
    real, written = SmallFiles.write_bytes, []

    def full(place: SmallFiles, name: str, content: bytes) -> None:
        if "facts" in place.uri:
            raise OSError(28, "No space left on device")
        written.append(place.uri)
        real(place, name, content)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SmallFiles, "write_bytes", full)
        with pytest.raises(StoreUnwritable, match=r"cannot be upgraded: .*No space left"):
            open_store(str(old))
    assert any("windows" in uri for uri in written)
    before = {file: file.stat().st_mtime_ns for file in (old / "windows").glob("*.parquet")}
    assert document_of(open_store(str(old)), BEFORE_US) == answer("before")
    assert {file: file.stat().st_mtime_ns for file in (old / "windows").glob("*.parquet")} == before


def test_a_large_file_is_rewritten_some_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.upgrades.conversion, "ROW_GROUP", 100)
    keys = ["a,b", "", None, "tags.x", "a,b"]
    rows = pa.table({"n": range(1000), "by": [keys[i % 5] for i in range(1000)]})
    table = DeltaTable.create(str(tmp_path / "old"), rows.schema)
    from deltalake import write_deltalake

    write_deltalake(table, rows, mode="append")
    sizes = []
    real = store.upgrades.conversion._converted
    monkeypatch.setattr(
        store.upgrades.conversion,
        "_converted",
        lambda part, one: (sizes.append(part.num_rows), real(part, one))[1],
    )
    one = Conversion("old", "new", {"n": "number"}, ("by",))
    convert(str(tmp_path), None, one, 3, lambda _: store.upgrades.conversion.Carried({"a": 7}))
    assert sizes == [100] * 10
    new = DeltaTable(str(tmp_path / "new"))
    found = pl.read_delta(new).sort("number")
    lists = [["a", "b"], [], None, ["tags.x"], ["a", "b"]]
    assert found["by"].to_list() == [lists[i % 5] for i in range(1000)]
    assert new.transaction_version("a") == 7
    assert pq.ParquetFile(next((tmp_path / "new").glob("*.parquet"))).num_row_groups == 10
    actions = pl.DataFrame(new.get_add_actions(flatten=True))
    assert actions.select("num_records", "min.number", "max.number").rows() == [(1000, 0, 999)]


def test_a_store_at_a_uri_is_upgraded_too(old: Path) -> None:
    assert document_of(open_store(old.as_uri()), BEFORE_US) == answer("before")
    assert not (old / "packs").exists()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}

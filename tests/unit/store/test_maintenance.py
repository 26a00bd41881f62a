"""Maintenance: longer windows, few files, nothing unused; nothing that is summed changes."""

import os
import threading
import time

import polars as pl
import pytest
from support.maintained_facts import HOUR, MINUTE, NOW, fact, scattered, totals, write_windows

from store import open_store
from store.maintenance.coarsen import COARSE_US, FINE_US
from store.maintenance.compact import SMALL_FILES
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.retention import DAY_US
from store.maintenance.schedule import Maintenance
from store.rewrite import files_of, read_files, replace


def test_sem_10_old_minutes_become_five_minutes_then_hours_and_sums_stay_to_the_last_integer(tmp_path):
    store = open_store(str(tmp_path))
    write_windows(store, scattered(3000))
    before = totals(store.table("windows").read())
    maintenance = Maintenance(store, MaintenanceNeeds(longest_window_us=lambda: HOUR))
    assert "partials became" in " ".join(maintenance.maintain("windows", NOW))
    rows = store.table("windows").read()
    assert totals(rows) == before
    fine = (NOW - 2 * DAY_US - 2 * HOUR) // DAY_US * DAY_US
    coarse = (NOW - 14 * DAY_US) // DAY_US * DAY_US
    assert set(rows.filter(pl.col("start_us") >= fine)["size_us"]) == {MINUTE}
    assert set(rows.filter(pl.col("start_us").is_between(coarse, fine - 1))["size_us"]) == {FINE_US}
    assert set(rows.filter(pl.col("start_us") < coarse)["size_us"]) == {COARSE_US}
    version = store.table("windows").version()
    assert Maintenance(store, MaintenanceNeeds(longest_window_us=lambda: HOUR)).maintain("windows", NOW) == []
    assert store.table("windows").version() == version


def test_sem_10_what_comes_late_for_a_compacted_minute_adds_up(tmp_path):
    store = open_store(str(tmp_path))
    write_windows(store, scattered(500))
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)
    write_windows(store, scattered(500, seed=2), batch=1)
    before = totals(store.table("windows").read())
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)  # not due before the next day
    assert totals(store.table("windows").read()) == before
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW + DAY_US)
    rows = store.table("windows").read()
    assert totals(rows) == before
    old = rows.filter(pl.col("start_us") < (NOW - 2 * DAY_US) // DAY_US * DAY_US)
    assert old["size_us"].min() == FINE_US


def test_sem_10_partials_whose_sums_cancel_keep_their_histogram(tmp_path):
    """Two amendments: 1 s to 3 s and 4 s to 2 s. Every sum is nothing, the histogram is not."""
    store = open_store(str(tmp_path))
    old = NOW - 20 * DAY_US
    seconds = [(1, -1), (3, 1), (4, -1), (2, 1)]
    write_windows(store, [fact(f"t{s}", old, weight=w, duration_us=s * 1_000_000) for s, w in seconds])
    before = totals(store.table("windows").read())
    assert len(before[1]) == 4
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)
    assert store.table("windows").read()["size_us"].to_list() == [COARSE_US]
    assert totals(store.table("windows").read()) == before


def test_many_small_files_become_few_and_who_follows_the_table_sees_each_row_once(tmp_path):
    from store.tail import Tail

    store = open_store(str(tmp_path))
    table = store.table("facts")
    table.append([fact("t", NOW)], app_id="facts:s", version=0)
    tail = Tail(table)
    for n in range(1, SMALL_FILES + 5):
        table.append([fact(f"t{n}", NOW + n)], app_id="facts:s", version=n)
    store.table("batches").append(
        [{"stream_id": "s", "phase": "end", "now_us": NOW}], app_id="batches:s", version=n
    )
    assert Maintenance(store, MaintenanceNeeds()).maintain("facts", NOW) == [
        f"facts: {SMALL_FILES + 5} files became 1"
    ]
    seen = tail.rows()
    assert seen is not None
    assert sorted(seen["trace_id"]) == sorted(f"t{n}" for n in range(1, SMALL_FILES + 5))
    assert table.app_version("facts:s") == SMALL_FILES + 4
    assert not table.append([fact("t", NOW)], app_id="facts:s", version=SMALL_FILES + 4)
    assert table.read().height == SMALL_FILES + 5


def test_a_rewrite_gives_up_when_a_file_is_gone_and_lets_appends_pass(tmp_path):
    store = open_store(str(tmp_path))
    table = store.table("facts")
    for n in range(3):
        table.append([fact(f"t{n}", NOW + n)])
    paths = files_of(table.fresh())["path"].to_list()
    rows = read_files(table, paths[:2])
    table.append([fact("late", NOW)])
    assert replace(table, paths[:2], [rows], app_id="a", version=1, operation="test")
    assert table.read().height == 4
    assert not replace(table, paths[:2], [rows], app_id="a", version=2, operation="test")
    table.fresh().optimize.compact()  # takes the last file away without a change of data
    assert not replace(table, paths[2:], [rows], app_id="a", version=2, operation="test")
    assert table.read().height == 4


def test_sem_10_19_appends_go_on_while_everything_is_maintained(tmp_path, monkeypatch):
    monkeypatch.setattr("store.maintenance.compact.SMALL_FILES", 10)
    watched = open_store(str(tmp_path))
    stop, failed = threading.Event(), []

    def append(batch: int = 0) -> None:
        try:
            while not stop.is_set() or batch < 50:
                facts = scattered(5, seed=batch)
                end = {"stream_id": "s", "batch_id": batch, "phase": "end", "now_us": NOW}
                watched.table("facts").append(facts, app_id="facts:s", version=batch)
                write_windows(watched, facts, batch)
                watched.table("batches").append([end], app_id="batches:s", version=batch)
                batch += 1
        except Exception as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    thread = threading.Thread(target=append)
    thread.start()
    other = open_store(str(tmp_path))
    for day in range(8):
        Maintenance(other, MaintenanceNeeds()).all(NOW + day * DAY_US)
    stop.set()
    thread.join()
    assert not failed
    batches = watched.table("facts").app_version("facts:s") + 1
    facts = [row for n in range(batches) for row in scattered(5, seed=n)]
    assert sorted(watched.table("facts").read()["trace_id"]) == sorted(row["trace_id"] for row in facts)
    plain = open_store(str(tmp_path / "plain"))
    write_windows(plain, facts)
    assert totals(watched.table("windows").read()) == totals(plain.table("windows").read())


@pytest.mark.parametrize("hours", [1, 30])
def test_unused_files_go_after_an_hour_and_no_file_of_a_write_under_way(tmp_path, hours):
    store = open_store(str(tmp_path))
    table = store.table("rule_sets")
    table.append([{"rule_set_hash": "p"}])
    orphan = tmp_path / "rule_sets" / "part-x.parquet"
    orphan.write_bytes(b"cut short")
    age = time.time() - hours * 1800
    os.utime(orphan, (age, age))
    Maintenance(store, MaintenanceNeeds()).maintain("rule_sets", NOW)
    assert orphan.exists() == (hours == 1)
    assert table.read().height == 1

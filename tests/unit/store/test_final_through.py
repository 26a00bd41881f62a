"""How far all has been counted: by a run's watermarks, and by what the tables hold of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from store import Store, open_store
from store.final_through import FinalThrough, Watermark, evaluate_through_us, stored_final_through_us


def test_sem_13_14_an_instant_is_evaluated_once_the_source_is_counted_up_to_it_traffic_or_not() -> None:
    final = FinalThrough(lands=True)
    assert final.through_us(None) is None
    final.add([Watermark("1", 100, 7)])
    assert final.through_us(6) is None  # rows that landed by then are not counted yet
    assert final.through_us(7) == 100
    final.add([Watermark("1", 200, 7)])
    assert final.through_us(7) == 200  # no traffic: it moves on
    final.add([Watermark("1", 300, 9)])
    assert final.through_us(8) == 200
    assert final.through_us(9) == 300
    assert FinalThrough(lands=False).through_us(5) == 5
    assert evaluate_through_us(300, 310, 15) == 300
    assert evaluate_through_us(300, 400, 15) == 385
    assert evaluate_through_us(None, 400, 15) == 385
    assert evaluate_through_us(500, 400, 15) == 400  # a table's commit may bear a later time than ours


def test_sem_13_of_several_parts_the_one_that_is_furthest_behind_counts() -> None:
    final = FinalThrough(lands=True)
    final.add([Watermark("1", 100, 7), Watermark("2", 50, 7)])
    assert final.through_us(7) == 50
    final.add([Watermark("1", 110, 8), Watermark("2", 120, 9)])
    assert final.through_us(8) == 50
    assert final.through_us(9) == 110


ROW = {"experiment_id": "1", "kind": "reconcile", "landed_through_us": 5, "at_us": 1}


def through(folder: Path, rows: list[dict[str, Any]], counted_us: int) -> int | None:
    store: Store = open_store(str(folder))
    store.table("landing").append([{**ROW, **row} for row in rows])
    store.table("batches").append([{"phase": "end", "arrived_through_us": counted_us}])
    return stored_final_through_us(store)


def test_sem_13_the_tables_say_what_the_run_says(tmp_path: Path) -> None:
    rows = [
        {"experiment_id": part, "to_us": to_us, "landed_through_us": landed_us}
        for part, to_us, landed_us in (("1", 100, 7), ("2", 50, 7), ("1", 110, 8), ("2", 120, 9))
    ]
    for counted_us in (6, 7, 8, 9):
        final = FinalThrough(lands=True)
        final.add(Watermark(row["experiment_id"], row["to_us"], row["landed_through_us"]) for row in rows)
        stored = through(tmp_path / str(counted_us), rows, counted_us)
        assert stored == final.through_us(counted_us)


def test_sem_13_nothing_is_final_before_a_backlog_is_read(tmp_path: Path) -> None:
    backlog = [{"kind": "recount", "to_us": 60, "at_us": 2}, {"kind": "backlog", "to_us": 20, "at_us": 2}]
    assert through(tmp_path / "first", backlog, 5) is None
    earlier = [{"to_us": 50}, *backlog]  # an earlier start was asked for
    assert through(tmp_path / "earlier", earlier, 5) is None
    assert through(tmp_path / "read", [*earlier, {"to_us": 70, "at_us": 3}], 5) == 70


def test_sem_13_an_experiment_that_left_the_config_holds_nothing_back(tmp_path: Path) -> None:
    hour = 3_600_000_000
    gone = {"experiment_id": "2", "to_us": 10}
    assert through(tmp_path / "a", [gone, {"to_us": 50, "at_us": hour + 2}], 5) == 50
    new = {"experiment_id": "2", "kind": "slice", "to_us": 10, "at_us": hour + 2}
    assert through(tmp_path / "b", [{"to_us": 50, "at_us": hour + 2}, new], 5) is None

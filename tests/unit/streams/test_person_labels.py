"""Labels that people give to traces: a change is written once, and the label that arrived last stands."""

from __future__ import annotations

import random

import polars as pl

from streams.batch.person_labels import changes

SCHEMA = {"trace_id": pl.String, "start_us": pl.Int64, "label": pl.String, "arrived_us": pl.Int64}


def labels(*rows: tuple[str, str | None, int]) -> pl.DataFrame:
    return pl.DataFrame([(t, 1, label, at) for t, label, at in rows], schema=SCHEMA, orient="row")


def new(frame: pl.DataFrame, known: pl.DataFrame) -> list[tuple[str, str | None]]:
    return sorted(changes(frame, known).select("trace_id", "label").iter_rows())


def test_sem_22_only_what_is_new_is_noted() -> None:
    assert new(labels(("a", None, 1), ("b", "gold", 1)), labels()) == [("b", "gold")]
    assert new(labels(("b", "gold", 2)), labels(("b", "gold", 1))) == []
    assert new(labels(("b", None, 2)), labels(("b", "gold", 1))) == [("b", None)]
    assert new(labels(("b", None, 3)), labels(("b", "gold", 1), ("b", None, 2))) == []


def test_sem_22_what_arrived_last_stands_however_it_is_split_and_repeated() -> None:
    written = [("a", "x", 1), ("a", None, 2), ("a", "y", 3), ("b", "x", 1), ("b", None, 4)]
    for seed in range(30):
        order = random.Random(seed)
        rows = sorted([*written, *order.sample(written, 2)], key=lambda row: (row[2], order.random()))
        rows += written if seed % 2 else []  # a rebuilt stream reads everything again
        known = labels()
        while rows:
            cut = order.randint(1, len(rows))
            batch, rows = rows[:cut], rows[cut:]
            known = pl.concat([known, changes(labels(*batch), known)])
        last = known.sort("arrived_us").unique("trace_id", keep="last")
        assert {t: c for t, c in last.select("trace_id", "label").iter_rows() if c} == {"a": "y"}

"""Repeats, amendments, expiry and taking back, on plain frames."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from rules.units import MINUTE_US as MINUTE
from store import net_facts
from store.schemas import FACTS
from streams.batch.classify import VALUES, Classified, classify
from streams.batch.match import NARROW
from streams.batch.resolve import resolve

NOW = 10_000_000_000_000
START = NOW - 100 * MINUTE


def narrow(**changes: Any) -> dict[str, Any]:
    row = {
        "trace_id": "a",
        "experiment_id": "1",
        "experiment": "x",
        "group": ["x"],
        "start_us": START,
        "duration_ms": 5.0,
        "state": "OK",
        "content_hash": 1,
        "change_us": 100,
        "hits": [],
        "arrived_us": 1,
    }
    return {**row, **changes}


def sort(*rows: dict[str, Any], **options: Any) -> Classified:
    frame = pl.DataFrame(
        pa.Table.from_pylist(list(rows), schema=NARROW.append(pa.field("arrived_us", pa.int64())))
    )
    settings = {
        "group_by": ["experiment"],
        "now_us": NOW,
        "horizon_us": 1_000 * MINUTE,
        "verdicts_through_us": 0,
        "include_evaluation": False,
    }
    return classify(frame, **{**settings, **options})


def play(*batches: list[dict[str, Any]]) -> tuple[pl.DataFrame, list[dict[str, int]]]:
    """Facts after these batches, and each batch's counters."""
    known, counted = pl.DataFrame(FACTS.empty_table()), []
    for number, batch in enumerate(batches):
        resolved = resolve(sort(*batch).ready, known)
        rows = resolved.facts.with_columns(
            pl.lit("s").alias("stream_id"), pl.lit(number, dtype=pl.Int64).alias("batch_id")
        )
        known = pl.concat([known, rows.select(known.columns)])
        counted.append(resolved.counters)
    return known, counted


def hashes(facts: pl.DataFrame) -> list[int]:
    return net_facts(facts)["content_hash"].to_list()


def test_sem_02_same_content_is_a_duplicate_in_one_batch_and_across() -> None:
    facts, counted = play([narrow(), narrow()], [narrow(arrived_us=9)])
    assert facts.height == 1
    assert [one["duplicates"] for one in counted] == [1, 1]
    assert [one["counted"] for one in counted] == [1, 0]


@pytest.mark.parametrize("order", [(100, 200), (200, 100)])
def test_sem_02_latest_change_stands_in_either_order(order: tuple[int, int]) -> None:
    facts, _ = play(*([narrow(content_hash=change, change_us=change)] for change in order))
    assert hashes(facts) == [200]


def test_sem_02_at_a_tie_the_later_landed_stands_and_a_content_seen_before_is_a_repeat() -> None:
    facts, counted = play([narrow()], [narrow(content_hash=2, arrived_us=2)], [narrow(arrived_us=3)])
    assert hashes(facts) == [2]
    assert [one["amended"] for one in counted] == [0, 1, 0]
    assert counted[2]["duplicates"] == 1


def test_sem_02_two_contents_in_one_batch_collapse() -> None:
    facts, counted = play([narrow(content_hash=2, change_us=200), narrow()])
    assert facts["weight"].to_list() == [1]
    assert hashes(facts) == [2]
    assert counted[0]["amended"] == 1


def test_sem_06_the_withdrawing_row_copies_every_value() -> None:
    hit = [{"rule": "r", "hash": "h"}]
    facts, _ = play([narrow(hits=hit)], [narrow(content_hash=2, change_us=200, duration_ms=9e6)])
    first, taken_back = facts.row(0, named=True), facts.filter(pl.col("weight") < 0).row(0, named=True)
    assert {name: taken_back[name] for name in VALUES} == {name: first[name] for name in VALUES}
    assert taken_back["batch_id"] == 1


def test_sem_05_evaluation_traces_are_left_out_and_taken_back() -> None:
    facts, counted = play(
        [narrow(), narrow(trace_id="b", source_run="run")],
        [narrow(content_hash=2, change_us=200, source_run="run")],
    )
    assert net_facts(facts).is_empty()
    assert [one["left_out"] for one in counted] == [1, 1]
    assert sort(narrow(source_run="run"), include_evaluation=True).ready["left_out"].to_list() == [False]


def test_sem_05_what_was_left_out_stays_out_when_an_older_content_comes_again_and_counts_when_no_longer() -> (
    None
):
    out = narrow(content_hash=2, change_us=200, source_run="run")
    facts, counted = play([narrow()], [out], [narrow(), out], [narrow(content_hash=3, change_us=300)])
    assert hashes(facts) == [3]
    assert [one["counted"] for one in counted] == [1, 0, 0, 1]
    assert [one["duplicates"] for one in counted] == [0, 0, 2, 0]


def test_sem_05_judges_are_left_out_like_evaluation_runs() -> None:
    assert sort(narrow(judge="scorer")).ready["left_out"].to_list() == [True]
    assert sort(narrow(judge=""), narrow(source_run="")).ready["left_out"].to_list() == [False, False]


def test_sem_05_a_source_read_again_with_evaluation_traces_included_counts_them() -> None:
    facts, _ = play([narrow(source_run="run")])
    again = resolve(sort(narrow(source_run="run"), include_evaluation=True).ready, facts)
    assert again.counters["counted"] == 1
    back = resolve(sort(narrow(source_run="run")).ready, play([narrow()])[0])
    assert back.facts["weight"].to_list() == [-1, 0]


def test_sem_02_a_content_beaten_at_a_tie_in_its_own_batch_does_not_come_back() -> None:
    facts, _ = play([narrow(), narrow(content_hash=2, arrived_us=2)], [narrow(arrived_us=3)])
    assert hashes(facts) == [2]


def test_sem_02_an_unseen_content_stands_though_a_seen_one_came_after_it_in_the_batch() -> None:
    one, two, three = (narrow(content_hash=n, arrived_us=n) for n in (1, 2, 3))
    facts, _ = play([one], [two], [three, narrow(arrived_us=4)])
    assert hashes(facts) == [3]


def test_sem_02_a_row_that_says_when_it_was_written_may_go_back_to_a_former_content() -> None:
    def at(landed: int, content: int) -> dict[str, Any]:
        return narrow(content_hash=content, arrived_us=landed, landed_us=landed)

    assert hashes(play([at(1, 1)], [at(2, 2)], [at(3, 1)])[0]) == [1]
    assert hashes(play([at(1, 1)], [at(2, 2)], [at(1, 1)])[0]) == [2]  # the same row once more
    assert hashes(play([at(3, 1)], [at(2, 2)])[0]) == [1]


def test_sem_04_unfinished_traces_wait_and_a_finished_one_is_not_undone_by_an_unfinished_row() -> None:
    facts, counted = play(
        [narrow(state="IN_PROGRESS")],
        [narrow()],
        [narrow(state="IN_PROGRESS", content_hash=9, change_us=900)],
    )
    assert hashes(facts) == [1]
    assert [one["counted"] for one in counted] == [0, 1, 0]


def test_sem_04_tokens_that_are_unknown_stay_unknown() -> None:
    assert sort(narrow()).ready["tokens_total"].to_list() == [None]


def test_sem_03_older_than_the_horizon_is_expired() -> None:
    parts = sort(narrow(start_us=NOW - 2_000 * MINUTE), narrow())
    assert (parts.expired, parts.ready.height) == (1, 1)


def test_sem_04_states_and_durations() -> None:
    parts = sort(
        narrow(trace_id="none", duration_ms=None),
        narrow(trace_id="negative", duration_ms=-5.0),
        narrow(trace_id="nan", duration_ms=float("nan")),
        narrow(trace_id="huge", duration_ms=1e300),
        narrow(trace_id="bad", state="ERROR"),
        narrow(trace_id="unsaid", state=None),
        narrow(trace_id="waits", state="IN_PROGRESS"),
    )
    by_id = {row["trace_id"]: row for row in parts.ready.to_dicts()}
    assert [by_id[name]["duration_us"] for name in ("none", "negative", "nan", "huge", "bad")] == [
        None,
        0,
        None,
        None,
        5000,
    ]
    assert by_id["none"]["end_us"] == START
    assert [name for name, row in by_id.items() if row["error"]] == ["bad"]
    assert by_id["unsaid"]["state"] == "STATE_UNSPECIFIED"
    assert parts.in_progress["trace_id"].to_list() == ["waits"]


def test_sem_08_unreadable_rows_go_to_quarantine_with_a_reason() -> None:
    parts = sort(
        narrow(trace_id=""), narrow(start_us=None), narrow(state="?"), narrow(json_error="broken_token_json")
    )
    assert parts.quarantined["reason"].to_list() == [
        "no_trace_id",
        "no_request_time",
        "unknown_state",
        "broken_token_json",
    ]
    assert parts.ready.height == 1


def test_sem_04_a_duration_out_of_range_is_counted_and_shown() -> None:
    parts = sort(narrow(duration_ms=-5.0), narrow(duration_ms=1e300), narrow(duration_ms=5.0))
    assert parts.quarantined["reason"].to_list() == ["duration_out_of_range"] * 2
    assert parts.ready["duration_us"].to_list() == [0, None, 5000]


def test_sem_13_late_when_the_verdict_of_its_minute_was_in() -> None:
    minute = START // MINUTE * MINUTE
    assert sort(narrow(), verdicts_through_us=minute + MINUTE).ready["late"].to_list() == [True]
    assert sort(narrow(), verdicts_through_us=minute + MINUTE - 1).ready["late"].to_list() == [False]


def test_sem_13_what_had_ended_when_the_run_began_is_backlog_and_not_late() -> None:
    judged = {"verdicts_through_us": NOW + MINUTE}
    end = sort(narrow()).ready["end_us"][0]
    assert sort(narrow(), run_began_us=end + 1, **judged).ready["late"].to_list() == [False]
    assert sort(narrow(), run_began_us=end, **judged).ready["late"].to_list() == [True]

    def counted(began_us: int | None, *rows: dict[str, Any]) -> tuple[int, int, int]:
        known = resolve(sort(narrow(trace_id="known")).ready, pl.DataFrame(FACTS.empty_table())).facts
        known = known.with_columns(stream_id=pl.lit("s"), batch_id=pl.lit(0, dtype=pl.Int64))
        found = resolve(sort(*rows, run_began_us=began_us, **judged).ready, known, began_us).counters
        return found["counted"], found["backlog"], found["late"]

    twice = narrow(content_hash=2, change_us=200)
    amended = narrow(trace_id="known", content_hash=2, change_us=200)
    assert counted(end + 1, narrow()) == (1, 1, 0)
    assert counted(end, narrow()) == counted(None, narrow()) == (1, 0, 1)
    assert counted(end + 1, narrow(), twice) == (1, 1, 0)
    assert counted(end + 1, amended) == counted(end, amended) == (0, 0, 0)  # no new trace

"""``report``: what stands in a range of time, where its text comes from, and how fresh it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from support.made_facts import MINUTE, T0, fact

from rules.rule_set import build_rule_set, parse_rule
from store import Store, open_store
from store.content import TraceTable
from store.outbox import Ack, Outbox, OutboxMessage
from store.rule_sets import RuleSets
from store.schemas import TRACES
from tracesieve.analysis.report import report
from tracesieve.json_output import iso

PACK = build_rule_set(
    [
        parse_rule({"id": "slow", "when": "execution_time_ms > 5000", "tag": "slow_response"}),
        parse_rule({"id": "bad", "when": "status = 'ERROR'", "tag": "error_case", "severity": "critical"}),
        parse_rule(
            {
                "id": "rate",
                "where": "status = 'OK'",
                "window": {"size": "2m"},
                "fire": "traces > 1",
                "evidence": {"tag": "edge_case", "most": 2},
            }
        ),
    ]
)
NOW = T0 + 60 * MINUTE


def write(store: Store, *rows: dict[str, Any]) -> None:
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate(rows)])


def hits(*ids: str) -> list[dict[str, str]]:
    return [{"rule": one, "hash": f"h-{one}"} for one in ids]


def of(store: Store, low: int = 0, high: int = 60, **more: Any) -> dict[str, Any]:
    return report(store, T0 + low * MINUTE, T0 + high * MINUTE, more.pop("by", []), NOW, **more)


def test_sem_06_an_amendment_that_moves_a_traces_end_counts_where_it_ends_now(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    moved, stays = fact("a", 5), fact("b", 6)
    write(store, moved, stays, {**moved, "weight": -1}, fact("a", 30, content_hash=2, arrived_us=NOW))
    assert of(store, 0, 10)["traces"] == 1
    assert of(store, 20, 40)["traces"] == 1
    assert of(store)["traces"] == 2


def test_sem_11_a_trace_dated_in_the_future_is_held_back_until_its_minute(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(store, fact("now", 60), fact("later", 61))
    assert of(store, 0, 120)["traces"] == 1


def test_sem_07_rules_count_matches_and_evidence_and_not_what_a_window_counts(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    RuleSets(store).put(PACK, ["experiment"], 1)
    write(
        store,
        fact("a", 1, hits=hits("slow", "bad")),
        fact("b", 1, hits=hits("slow", "rate")),
        fact("c", 1, hits=hits("rate")),
        fact("d", 1, hits=hits("rate")),
        fact("e", 50, hits=hits("slow")),
    )
    evidence = {"episode": "x", "rule": "rate", "instant_us": T0 + 2 * MINUTE, "rank": 0}
    store.table("evidence").append([{**evidence, "trace_id": one} for one in ("b", "c", "gone")])
    found = of(store, 0, 10)
    assert found["rules"] == {"slow": 2, "bad": 1, "rate": 2}
    assert found["candidates"] == {"error_case": 1, "slow_response": 1, "edge_case": 1}


def test_groups_by_a_key_of_several_group_bys(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(
        store,
        fact("a", 1, group_by=["experiment", "model"], group=["x", "m"]),
        fact("b", 2, group_by=["model"], group=["m"]),
        fact("c", 2, group_by=["experiment", "model"], group=["x", "n"], error=True),
    )
    groups = of(store, by=["model"])["groups"]
    assert [(row["group"], row["traces"], row["errors"]) for row in groups] == [
        ({"model": "m"}, 2, 0),
        ({"model": "n"}, 1, 1),
    ]


def test_a_comma_in_a_grouping_key_is_a_part_of_the_key(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(
        store,
        fact("a", 1, group_by=["tags.a,b"], group=["x"]),
        fact("b", 2, group_by=["tags.a,b", "model"], group=["x", "m"]),
    )
    groups = of(store, by=["tags.a,b"])["groups"]
    assert [(row["group"], row["traces"]) for row in groups] == [({"tags.a,b": "x"}, 2)]
    assert [row["group"] for row in of(store)["groups"]] == [
        {"tags.a,b": "x", "model": "m"},
        {"tags.a,b": "x"},
    ]


def test_error_samples_come_from_a_mapped_delta_source(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    failing = fact("a", 5, error=True)
    write(store, failing, fact("lost", 6, error=True))
    begin = datetime.fromtimestamp(failing["start_us"] / 1e6, UTC)
    span = {"name": "s", "start_time": begin}
    spans = [
        {**span, "span_id": "1", "status_code": "OK", "status_message": "fine"},
        {**span, "span_id": "2", "status_code": "STATUS_CODE_ERROR", "status_message": "tool down"},
    ]
    row = {
        "trace_id": "a",
        "request_time": begin,
        "state": "ERROR",
        "request": "where is my parcel?",
        "spans": spans,
    }
    table = pa.Table.from_pylist([row], schema=TRACES).rename_columns(
        ["my_id" if name == "trace_id" else name for name in TRACES.names]
    )
    write_deltalake(str(tmp_path / "source"), table)
    source = TraceTable(str(tmp_path / "source"), {"trace_id": "my_id"})
    assert of(store, content=source)["error_samples"] == [
        {"trace_id": "lost", "request": None, "url": None, "error": None},
        {"trace_id": "a", "request": "where is my parcel?", "url": None, "error": "tool down"},
    ]
    gone = {"trace_id": "a", "request": None, "error": None}
    url = "https://mlflow.example/base/#/experiments/1/traces/a"
    assert of(store, server="https://me:secret@mlflow.example/base/")["error_samples"][1] == {
        **gone,
        "url": url,
    }


def test_sem_13_final_through_moves_on_without_traffic_and_waits_for_what_has_landed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    slice_ = {"experiment_id": "1", "kind": "reconcile", "landed": 1, "in_progress": 3}
    end = {
        "stream_id": "s",
        "batch_id": 0,
        "phase": "end",
        "now_us": 1,
        "late": 2,
        "duplicates": 1,
        "backlog": 7,
    }
    store.table("batches").append([{**end, "arrived_through_us": 100}])
    assert of(store)["freshness"]["final_through"] == iso(100)  # a Delta table: its last counted commit
    store.table("landing").append([{**slice_, "to_us": T0, "landed_through_us": 100, "at_us": 1}])
    store.table("landing").append([{**slice_, "to_us": T0 + MINUTE, "landed_through_us": 100, "at_us": 2}])
    store.table("landing").append(
        [{**slice_, "to_us": T0 + 2 * MINUTE, "landed_through_us": 200, "at_us": 3, "in_progress": 4}]
    )
    fresh = of(store)["freshness"]
    assert fresh["final_through"] == iso(T0 + MINUTE)
    assert (fresh["in_progress"], fresh["late"], fresh["duplicates"]) == (4, 2, 1)
    assert fresh["backlog"] == 7
    store.table("batches").append([{**end, "batch_id": 1, "arrived_through_us": 200}])
    assert of(store)["freshness"]["final_through"] == iso(T0 + 2 * MINUTE)


def test_sem_04_an_unfinished_trace_of_a_table_is_published_until_it_ends(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.table("in_progress").append([{"trace_id": one, "start_us": T0} for one in ("a", "a", "b")])
    assert of(store)["freshness"]["in_progress"] == 2
    write(store, fact("a", 5))
    assert of(store)["freshness"]["in_progress"] == 1


def test_a_dead_letter_that_is_tried_again_is_none(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outbox = Outbox(store)
    outbox.enqueue([OutboxMessage("tags", "t", {}), OutboxMessage("tags", "u", {})], 1)
    outbox.ack([Ack(message, "dead") for message in outbox.pending("tags")], 2)
    assert of(store)["freshness"]["dead_letters"] == 2
    outbox.requeue([outbox.rows()[0]["key"]], "requeued", 3)
    assert of(store)["freshness"]["dead_letters"] == 1


def test_sem_35_traces_whose_facts_apply_has_filled_in_are_compared_with_their_spans(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = fact("t", 1)
    filled = {**old, "span_keys": "[]", "span_sums": bytes(8), "usage_disagrees": True}
    batches = ((57, old), (0, {**old, "weight": -1}), (0, filled))
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in batches])
    assert of(store)["freshness"]["usage_disagrees"] == 1


def test_spans_are_not_read_where_facts_know_the_failure(tmp_path: Path) -> None:
    """On a day of 200,000 traces that costs a second; the table here has none to read."""
    store = open_store(str(tmp_path / "store"))
    failure = {
        "span_type": "TOOL",
        "span_name": "s",
        "error_type": "",
        "message": "tool down",
        "pattern": "p",
    }
    failing = fact("a", 5, error=True, failure=json.dumps({**failure, "handled": False}))
    write(store, failing)
    begin = datetime.fromtimestamp(failing["start_us"] / 1e6, UTC)
    row = {"trace_id": "a", "request_time": begin, "request": "where is my parcel?" * 100, "spans": []}
    write_deltalake(str(tmp_path / "source"), pa.Table.from_pylist([row], schema=TRACES))

    class WithoutSpans(TraceTable):
        def _read(self, table: Any, starts_us: Any, columns: Any) -> Any:
            assert columns is not None and not {"spans", "response"} & set(columns)
            return super()._read(table, starts_us, columns)

    (sample,) = of(store, content=WithoutSpans(str(tmp_path / "source")))["error_samples"]
    assert sample["error"] == "tool down"
    assert sample["request"] == ("where is my parcel?" * 100)[:500]

"""A person's own ``eval_candidate``: noticed without amending anything, and a reason to be in the dataset of
its name.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.outbox import Outbox
from streams.batch.person_labels import changes
from tracesieve.datasets.memberships import TagsAndMemberships

SCHEMA = {"trace_id": pl.String, "start_us": pl.Int64, "label": pl.String, "arrived_us": pl.Int64}
PACK = build_rule_set(
    [
        parse_rule(
            {
                "id": "slow",
                "when": "execution_time_ms > 5000",
                "tag": "slow_response",
                "points_to": "a slow model",
            }
        )
    ]
)
SLOW = PACK.trace_rules[0]


def said(*rows: tuple[str, str | None, int]) -> pl.DataFrame:
    return pl.DataFrame([(t, 1, candidate, at) for t, candidate, at in rows], schema=SCHEMA, orient="row")


def new(frame: pl.DataFrame, known: pl.DataFrame) -> list[tuple[str, str | None]]:
    return sorted(changes(frame, known).select("trace_id", "label").iter_rows())


def test_sem_22_only_what_is_new_is_noted() -> None:
    assert new(said(("a", None, 1), ("b", "gold", 1)), said()) == [("b", "gold")]
    assert new(said(("b", "gold", 2)), said(("b", "gold", 1))) == []
    assert new(said(("b", None, 2)), said(("b", "gold", 1))) == [("b", None)]
    assert new(said(("b", None, 3)), said(("b", "gold", 1), ("b", None, 2))) == []


def test_sem_22_what_arrived_last_stands_however_it_is_split_and_repeated() -> None:
    told = [("a", "x", 1), ("a", None, 2), ("a", "y", 3), ("b", "x", 1), ("b", None, 4)]
    for seed in range(30):
        order = random.Random(seed)
        rows = sorted([*told, *order.sample(told, 2)], key=lambda row: (row[2], order.random()))
        rows += told if seed % 2 else []  # a rebuilt stream reads everything again
        known = said()
        while rows:
            cut = order.randint(1, len(rows))
            batch, rows = rows[:cut], rows[cut:]
            known = pl.concat([known, changes(said(*batch), known)])
        last = known.sort("arrived_us").unique("trace_id", keep="last")
        assert {t: c for t, c in last.select("trace_id", "label").iter_rows() if c} == {"a": "y"}


def fact(
    trace_id: str, batch_id: int, *, hit: bool = False, weight: int = 1, content: int = 1
) -> dict[str, Any]:
    return {
        "stream_id": "s",
        "batch_id": batch_id,
        "weight": weight,
        "trace_id": trace_id,
        "experiment_id": "7",
        "group_by": [],
        "group": [],
        "start_us": 1,
        "end_us": 2,
        "state": "OK",
        "error": False,
        "content_hash": content,
        "hits": [{"rule": "slow", "hash": SLOW.hash}] if hit else [],
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture
def rule_set() -> RuleSet:
    return PACK


def candidate(store: Store, batch_id: int, trace_id: str, value: str | None) -> None:
    row = {
        "stream_id": "s",
        "batch_id": batch_id,
        "trace_id": trace_id,
        "start_us": 1,
        "label": value,
        "arrived_us": batch_id,
    }
    store.table("person_labels").append([row])


def whole(store: Store, batch_id: int) -> None:
    store.table("batches").append(
        [{"stream_id": "s", "batch_id": batch_id, "phase": "end", "now_us": batch_id}]
    )


def wished(store: Store, sink: str = "mlflow_datasets") -> dict[str, dict[str, Any]]:
    return {message.target: message.payload["categories"] for message in Outbox(store).pending(sink)}


def test_sem_22_a_persons_candidate_is_wished_for_like_a_rules_and_taken_back(
    store: Store, rule_set: RuleSet
) -> None:
    store.table("facts").append([fact("t1", 0, hit=True), fact("t2", 0), fact("t3", 0)])
    candidate(store, 0, "t1", "golden")
    candidate(store, 0, "t2", "golden")
    messages = TagsAndMemberships(store, Outbox(store), "s", ["mlflow_tags"], ["mlflow_datasets"])
    whole(store, 0)
    messages.step(rule_set, 1)
    person = {"rules": [], "reason": "a person set eval_candidate", "person": True}
    found = wished(store)
    assert set(found) == {"t1", "t2"}
    assert found["t2"] == {"golden": person}
    assert found["t1"]["golden"] == person
    assert found["t1"]["slow_response"]["rules"] == [{"rule": "slow", "hash": SLOW.hash}]
    assert [message.target for message in Outbox(store).pending("mlflow_tags")] == ["t1"]
    candidate(store, 1, "t2", None)
    candidate(store, 1, "t1", "slow_response")  # the category of its rule, set by a person as well
    whole(store, 1)
    messages.step(rule_set, 2)
    assert wished(store)["t2"] == {}
    assert wished(store)["t1"] == {
        "slow_response": {
            "rules": [{"rule": "slow", "hash": SLOW.hash}],
            "reason": "a slow model",
            "person": True,
        }
    }


def test_sem_22_an_amendment_keeps_what_a_person_said(store: Store, rule_set: RuleSet) -> None:
    store.table("facts").append([fact("t1", 0)])
    candidate(store, 0, "t1", "golden")
    messages = TagsAndMemberships(store, Outbox(store), "s", ["mlflow_tags"], ["mlflow_datasets"])
    whole(store, 0)
    messages.step(rule_set, 1)
    store.table("facts").append([fact("t1", 1, weight=-1), {**fact("t1", 1, content=2), "end_us": 3}])
    whole(store, 1)
    assert messages.step(rule_set, 2) == 1
    (payload,) = [message.payload for message in Outbox(store).pending("mlflow_datasets")]
    assert (payload["end_us"], set(payload["categories"])) == (3, {"golden"})
    store.table("facts").append([{**fact("t1", 2, weight=-1, content=2), "end_us": 3}])  # left out now
    whole(store, 2)
    assert messages.step(rule_set, 3) == 1
    assert wished(store) == {"t1": {}}

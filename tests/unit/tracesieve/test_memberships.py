"""Which datasets a trace is in: matches of rules and labels of people, through amendments and withdrawals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.outbox import Outbox
from tracesieve.datasets.memberships import TagsAndMemberships

RULES = build_rule_set(
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
SLOW = RULES.trace_rules[0]


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
    return RULES


def label(store: Store, batch_id: int, trace_id: str, value: str | None) -> None:
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


def pending(store: Store, sink: str = "mlflow_datasets") -> dict[str, dict[str, Any]]:
    return {message.target: message.payload["categories"] for message in Outbox(store).pending(sink)}


def test_sem_22_a_persons_label_counts_like_a_rules_match_and_can_be_taken_back(
    store: Store, rule_set: RuleSet
) -> None:
    store.table("facts").append([fact("t1", 0, hit=True), fact("t2", 0), fact("t3", 0)])
    label(store, 0, "t1", "golden")
    label(store, 0, "t2", "golden")
    follower = TagsAndMemberships(store, Outbox(store), "s", ["mlflow_tags"], ["mlflow_datasets"])
    whole(store, 0)
    follower.step(rule_set, 1)
    person = {"rules": [], "reason": "a person set eval_candidate", "person": True}
    found = pending(store)
    assert set(found) == {"t1", "t2"}
    assert found["t2"] == {"golden": person}
    assert found["t1"]["golden"] == person
    assert found["t1"]["slow_response"]["rules"] == [{"rule": "slow", "hash": SLOW.hash}]
    assert [message.target for message in Outbox(store).pending("mlflow_tags")] == ["t1"]
    label(store, 1, "t2", None)
    label(store, 1, "t1", "slow_response")  # the category of its rule, set by a person as well
    whole(store, 1)
    follower.step(rule_set, 2)
    assert pending(store)["t2"] == {}
    assert pending(store)["t1"] == {
        "slow_response": {
            "rules": [{"rule": "slow", "hash": SLOW.hash}],
            "reason": "a slow model",
            "person": True,
        }
    }


def test_sem_22_an_amendment_keeps_a_persons_label(store: Store, rule_set: RuleSet) -> None:
    store.table("facts").append([fact("t1", 0)])
    label(store, 0, "t1", "golden")
    follower = TagsAndMemberships(store, Outbox(store), "s", ["mlflow_tags"], ["mlflow_datasets"])
    whole(store, 0)
    follower.step(rule_set, 1)
    store.table("facts").append([fact("t1", 1, weight=-1), {**fact("t1", 1, content=2), "end_us": 3}])
    whole(store, 1)
    assert follower.step(rule_set, 2) == 1
    (payload,) = [message.payload for message in Outbox(store).pending("mlflow_datasets")]
    assert (payload["end_us"], set(payload["categories"])) == (3, {"golden"})
    store.table("facts").append([{**fact("t1", 2, weight=-1, content=2), "end_us": 3}])  # left out now
    whole(store, 2)
    assert follower.step(rule_set, 3) == 1
    assert pending(store) == {"t1": {}}

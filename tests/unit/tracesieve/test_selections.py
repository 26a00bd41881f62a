"""Which candidates enter datasets as they come: quotas, displaced members, what people name, what undo took
back, crashes.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from support.dataset_candidates import RULES, counted, failed, follower, labelled, landed, members
from support.made_facts import MINUTE, T0, put

from sinks.mlflow.config import DatasetsConfig
from sinks.registry import is_withdrawal
from store import Store, open_store
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.schedule import Maintenance
from store.outbox import Ack, Outbox, OutboxMessage
from store.table import Table
from tracesieve.analysis.report import report
from tracesieve.datasets.pool import chosen, left_out, left_out_of
from tracesieve.datasets.sets import DatasetSets

DAY_US = 86_400_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_sem_38_an_outage_in_pieces_leaves_room_for_what_is_rare(store: Store) -> None:
    alike = [failed(f"o{n}", "the model endpoint is down") for n in range(300)]
    rare = [
        failed(f"r{n}", f"tool failure of kind {'abcdefghij'[n % 10]} in the {'xyz'[n % 3]} step")
        for n in range(30)
    ]
    landed(store, {row["trace_id"]: f"how is order {row['trace_id']} doing" for row in (*alike, *rare)})
    messages = follower(store, quotas={"total": 60, "near_duplicates": None, "per_pattern": 50})
    for number, rows in enumerate([alike[:100], rare[:15], alike[100:], rare[15:]]):
        counted(store, number, rows)
        messages.step(RULES, number)
    found = members(store)
    assert len(found) == 60
    assert sum(one.startswith("r") for one in found) == 30
    sets = DatasetSets(
        DatasetsConfig.model_validate({"quotas": {"total": 60, "near_duplicates": None, "per_pattern": 50}})
    )
    assert left_out(store, sets, "error_case") == {"total_quota": 270}
    assert chosen(store, sets)["error_case"].kept == set(found)


def test_a_displaced_member_is_withdrawn_by_a_message_that_says_so(store: Store) -> None:
    messages = follower(store, quotas={"total": 1})
    sent: list[set[str]] = []
    for number in range(8):
        counted(store, number, [failed(f"t{number}", f"failure of kind {'abcdefgh'[number]}")])
        messages.step(RULES, number)
        sent.append(set(members(store)))
    assert all(len(one) == 1 for one in sent)
    assert len(set.union(*sent)) > 1
    newest = {one.target: one.payload for one in Outbox(store).pending("mlflow_datasets")}
    displaced = newest[min(set.union(*sent) - sent[-1])]
    assert (displaced["categories"], displaced["left_out"]) == ({}, ["error_case"])
    assert is_withdrawal("mlflow_datasets", displaced)
    never = {f"t{n}" for n in range(8)} - set.union(*sent)
    assert never and not never & set(newest)  # there is nothing to withdraw


def test_messages_that_one_word_no_mask_knows_tells_apart_are_one_pattern(store: Store) -> None:
    names = ["ann", "bob", "cem", "dag", "eva", "fay", "gus", "hal", "ian", "joy", "kim", "lea", "max", "ned"]
    counted(
        store,
        0,
        [failed(f"t{name}", f"the user {name} is not registered in the directory") for name in names],
    )
    follower(store, quotas={"per_pattern": 3}).step(RULES, 1)
    assert len(members(store)) == 3


def test_sem_37_what_a_person_names_enters_whatever_the_quotas(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down") for n in range(9)])
    for trace_id, label in (("t3", "golden"), ("t4", "golden"), ("t5", "slow_response")):
        labelled(store, trace_id, label)
    follower(store, quotas={"total": 1}).step(RULES, 1)
    by_set = Counter(name for names in members(store).values() for name in names)
    assert by_set == {"golden": 2, "slow_response": 1, "error_case": 1}


def test_each_experiment_has_quotas_of_its_own_where_each_has_its_dataset(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down", experiment_id=str(n % 2)) for n in range(20)])
    follower(store, quotas={"total": 3}).step(RULES, 1)
    assert len(members(store)) == 6
    other = open_store(f"{store.path}-other")
    counted(other, 0, [failed(f"t{n}", "down", experiment_id=str(n % 2)) for n in range(20)])
    follower(other, experiment="here", quotas={"total": 3}).step(RULES, 1)
    assert len(members(other)) == 3


def test_report_and_explain_say_why_a_candidate_is_left_out(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down") for n in range(5)])
    put(store, RULES, 1)
    follower(store, quotas={"total": 2}).step(RULES, 1)
    sets = DatasetSets(DatasetsConfig.model_validate({"quotas": {"total": 2}}))
    document = report(store, T0, T0 + DAY_US, [], T0 + DAY_US, sets=sets)
    (row,) = document["categories"]
    assert (row["matched"], row["left_out"]) == (5, {"total_quota": 3, "waiting": 2})
    out = sorted({f"t{n}" for n in range(5)} - set(members(store)))[0]
    assert left_out_of(store, sets, out) == {"tracesieve_error_case": "total_quota"}
    assert left_out_of(store, sets, min(members(store))) == {}


def test_what_undo_took_back_stays_out_and_takes_no_place(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down") for n in range(4)])
    follower(store, quotas={"total": 2}).step(RULES, 1)
    inside = sorted(members(store))
    nothing: dict[str, Any] = {"categories": {}}
    taken = [OutboxMessage("mlflow_datasets", one, {"trace_id": one, **nothing}) for one in inside]
    outbox = Outbox(store)
    outbox.enqueue(taken, 2)
    outbox.ack([Ack(one, "delivered") for one in outbox.pending("mlflow_datasets")], 2)
    messages = follower(store, quotas={"total": 2})
    messages.step(RULES, 3)
    assert members(store) == {}
    counted(store, 1, [failed("new", "down")])
    messages.step(RULES, 4)
    assert "new" in members(store) and not set(inside) & set(members(store))
    amended = failed(inside[0], "down", content_hash=2)
    counted(store, 2, [failed(inside[0], "down", weight=-1), amended])
    follower(store, quotas={"total": 9}).step(RULES, 5)
    assert inside[0] in members(store) and inside[1] not in members(store)


def test_members_of_a_store_of_before_there_were_quotas_are_candidates(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", f"failure {'abcd'[n]}") for n in range(4)])
    follower(store).step(RULES, 1)
    shutil.rmtree(store.table("dataset_candidates").uri)
    store = open_store(store.path)
    counted(store, 1, [failed("t4", "failure e")])
    follower(store, quotas={"total": 2}).step(RULES, 2)
    assert len(members(store)) == 2


def test_a_match_that_is_withdrawn_frees_its_place(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down") for n in range(3)])
    messages = follower(store, quotas={"total": 1})
    messages.step(RULES, 1)
    (first,) = members(store)
    counted(store, 1, [failed(first, "down", weight=-1), failed(first, rules=[], content_hash=2)])
    messages.step(RULES, 2)
    (second,) = members(store)
    assert second != first


def test_members_stay_candidates_after_their_facts_have_expired(store: Store) -> None:
    counted(store, 0, [failed(f"t{n}", "down") for n in range(5)])
    follower(store, quotas={"total": 2}).step(RULES, 1)
    before = members(store)
    needs = MaintenanceNeeds(is_withdrawal=is_withdrawal)
    late = T0 + 120 * DAY_US
    for name in ("facts", "dataset_candidates", "outbox"):
        Maintenance(store, needs).maintain(name, late)
    assert store.table("facts").read().is_empty()
    assert sorted(store.table("dataset_candidates").read()["trace_id"]) == sorted(before)
    counted(store, 1, [failed("t9", "down", end_us=late)])
    follower(store, quotas={"total": 2}).step(RULES, late)
    assert len(members(store)) == 2


QUESTIONS = [
    "where is my order",
    "WHERE is my order",
    "refund my card",
    "cancel it all",
    "change the address",
]
CONFIG: dict[str, Any] = {
    "quotas": {"total": 9, "per_pattern": 4, "per_rule": 8, "near_duplicates": 2},
    "keep": ["outcome", "query"],
}


def story(seed: int) -> list[list[dict[str, Any]]]:
    """Batches with new traces, and with amendments of earlier ones."""
    pick = random.Random(seed)
    known: dict[str, dict[str, Any]] = {}
    batches = []
    for _batch in range(5):
        rows = []
        for _ in range(8):
            trace_id = f"t{len(known)}" if pick.random() < 0.8 or not known else pick.choice(sorted(known))
            if trace_id in known:
                rows.append({**known[trace_id], "weight": -1})
            rules = pick.choice([("failed",), ("slow",), ("failed", "slow"), ()])
            message = pick.choice(["down", "down", "refused", "broken"]) if "failed" in rules else ""
            hash_ = known[trace_id]["content_hash"] + 1 if trace_id in known else 1
            known[trace_id] = failed(trace_id, message, rules=rules, content_hash=hash_)
            rows.append(known[trace_id])
        batches.append(rows)
    return batches


def question_of(trace_id: str) -> str:
    return random.Random(trace_id).choice(QUESTIONS)


def played(store: Store, batches: list[list[dict[str, Any]]]) -> dict[str, list[str]]:
    ids = {row["trace_id"] for rows in batches for row in rows}
    landed(store, {one: question_of(one) for one in sorted(ids)})
    messages = follower(store, **CONFIG)
    for number, rows in enumerate(batches):
        counted(store, number, rows)
        try:
            messages.step(RULES, number)
        except Killed:
            messages = follower(store, **CONFIG)
            messages.step(RULES, number)
    return members(store)


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


@pytest.mark.parametrize("seed", range(3))
def test_sem_37_any_split_and_order_ends_with_the_same_members(seed: int, tmp_path: Path) -> None:
    batches = story(seed)
    expected = played(open_store(str(tmp_path / "split")), batches)
    assert 4 < len(expected) < len({row["trace_id"] for rows in batches for row in rows})
    assert (
        played(open_store(str(tmp_path / "whole")), [[row for rows in batches for row in rows]]) == expected
    )
    last = {row["trace_id"]: row for rows in batches for row in rows}
    shuffled = list(last.values())
    random.Random(seed).shuffle(shuffled)
    assert played(open_store(str(tmp_path / "shuffled")), [shuffled[:11], shuffled[11:]]) == expected


def test_sem_37_a_kill_at_any_write_and_a_repeat_end_with_the_same_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, writes, kill_at = story(1)[:3], 0, 0
    commit = Table._commit

    def counted_commit(table: Table, *arguments: Any, **named: Any) -> None:
        nonlocal writes
        if table.spec.writer != "outbox":
            return commit(table, *arguments, **named)
        writes += 1
        if kill_at and writes == (kill_at + 1) // 2:
            if not kill_at % 2:
                commit(table, *arguments, **named)
            raise Killed
        return commit(table, *arguments, **named)

    monkeypatch.setattr(Table, "_commit", counted_commit)
    whole = open_store(str(tmp_path / "whole"))
    played(whole, batches)
    expected = sorted(whole.table("outbox").read(["target", "payload", "created_us"]).rows())
    total = writes
    assert total >= 6
    for one in range(1, 2 * total + 1):
        writes, kill_at = 0, one
        cut = open_store(str(tmp_path / f"cut{one}"))
        played(cut, batches)
        assert sorted(cut.table("outbox").read(["target", "payload", "created_us"]).rows()) == expected, one


def test_five_thousand_candidates_in_one_step_take_about_a_second(store: Store) -> None:
    rows = [failed(f"t{n}", "down", end_us=T0 + n * MINUTE % DAY_US) for n in range(5000)]
    landed(store, {f"t{n}": f"where is the order {n} of customer {n % 13}" for n in range(5000)})
    counted(store, 0, rows)
    messages = follower(store)
    began = process_time()
    messages.step(RULES, 1)
    first = process_time() - began
    counted(store, 1, [failed("t5000", "down")])
    began = process_time()
    messages.step(RULES, 2)
    print(f"5,000 candidates: {first:.2f} s, one more: {process_time() - began:.2f} s")
    assert first < 6 and members(store)

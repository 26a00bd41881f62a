"""Evaluations in the store: once, whole, and a regression stays one however often it is evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.evaluated import case, evaluation, loaded, named, scores
from support.versioned_records import PLACE, T0

from rules.units import DAY_US
from store import Store, open_store
from store.maintenance.retention import standing
from tracesieve.evaluation.evaluate import evaluation_id
from tracesieve.evaluation.history import Evaluation, History

CASES = [case("one"), case("two", marked=False)]
SAFE = named("safe", asks_model=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def put(history: History, name: str, at_us: int, one: str, two: str = "pass", **more: object) -> Evaluation:
    found = scores({("one", "safe"): one, ("two", "safe"): two})
    made = evaluation(found, CASES, name, at_us=at_us, **more)
    return history.put(loaded(CASES), [SAFE], made, history.find(name))


def test_sem_40_the_same_again_writes_nothing(store: Store) -> None:
    history = History(store)
    put(history, "e1", T0, "pass")
    version = store.table("evaluations").version()
    assert put(history, "e1", T0 + 5, "pass").at_us == T0
    assert store.table("evaluations").version() == version


def test_an_attempt_that_knows_more_replaces_the_former_and_counts_once(store: Store) -> None:
    history = History(store)
    put(history, "e1", T0, "error", passed=False)
    assert put(history, "e1", T0 + 5, "pass").attempt == 1
    found = history.find("e1")
    assert found is not None and found.complete and len(found.scores) == 2
    assert history.latest_words().height == 2


def test_two_processes_that_write_the_same_attempt_are_one(store: Store) -> None:
    first, second = History(store), History(open_store(store.path))
    before = second.find("e1")
    put(first, "e1", T0, "pass")
    made = evaluation(scores({("one", "safe"): "pass", ("two", "safe"): "pass"}), CASES, "e1")
    second.put(loaded(CASES), [SAFE], made, before)
    assert store.table("evaluations").read().height == 2


def test_sem_40_it_is_compared_with_the_last_that_passed_not_with_the_last_that_failed(store: Store) -> None:
    history = History(store)
    put(history, "good", T0, "pass")
    put(history, "bad", T0 + 1, "fail", passed=False, compared_with="good")
    found = history.baseline(PLACE.key, "stored", None, "worse still")
    assert found is not None and found.id == "good"


def test_sem_40_a_repeat_keeps_what_it_was_compared_with(store: Store) -> None:
    history = History(store)
    put(history, "good", T0, "pass")
    put(history, "bad", T0 + 1, "fail", passed=False, compared_with="good")
    put(history, "later", T0 + 2, "fail", passed=True)
    found = history.baseline(PLACE.key, "stored", history.find("bad"), "bad")
    assert found is not None and found.id == "good"
    assert history.baseline(PLACE.key, "stored", history.find("good"), "good") is None


def test_where_none_passed_it_is_compared_with_the_last(store: Store) -> None:
    history = History(store)
    put(history, "first", T0, "fail", passed=False)
    put(history, "second", T0 + 1, "fail", passed=False)
    found = history.baseline(PLACE.key, "stored", None, "third")
    assert found is not None and found.id == "second"


def test_stored_answers_are_not_compared_with_fresh_ones_nor_with_another_dataset(store: Store) -> None:
    history = History(store)
    put(history, "fresh", T0, "pass", answers="app:answer")
    assert history.baseline(PLACE.key, "stored", None, "e") is None
    assert history.baseline(("other", "1"), "app:answer", None, "e") is None
    assert history.baseline(PLACE.key, "app:answer", None, "e") is not None


def test_answers_of_judges_are_known_by_what_was_judged_and_errors_are_not(store: Store) -> None:
    history = History(store)
    put(history, "e1", T0, "error", "fail")
    contents = [f"content-{one.key[:8]}" for one in CASES]
    known = history.judged([SAFE], contents)
    assert {key: one.outcome for key, one in known.items()} == {("hash-safe", contents[1]): "fail"}
    assert history.judged([replace(SAFE, asks_model=False)], None) == {}
    assert history.judged([replace(SAFE, hash="another")], None) == {}


def test_sem_40_an_evaluation_is_known_by_version_scorers_and_answers() -> None:
    contents = {"r1": "c1", "r2": "c2"}
    same = evaluation_id(loaded(CASES), [SAFE], "stored", contents)
    assert evaluation_id(loaded(CASES), [SAFE], "stored", dict(reversed(contents.items()))) == same
    others = {
        evaluation_id(loaded(CASES, "v2"), [SAFE], "stored", contents),
        evaluation_id(loaded(CASES), [replace(SAFE, hash="x")], "stored", contents),
        evaluation_id(loaded(CASES), [SAFE], "app:f", contents),
        evaluation_id(loaded(CASES), [SAFE], "stored", {**contents, "r2": "c3"}),
    }
    assert len(others | {same}) == 5


def test_what_is_compared_with_next_does_not_expire(store: Store) -> None:
    history = History(store)
    put(history, "old", T0, "pass")
    put(history, "good", T0 + 1, "pass")
    put(history, "bad", T0 + 2, "fail", passed=False)
    rows = store.table("evaluations").read()
    kept = standing(store, "evaluations", rows, T0 + 500 * DAY_US, lambda sink, payload: False)
    assert set(kept["evaluation"]) == {"good", "bad"}


def test_hostile_texts_are_kept(store: Store) -> None:
    odd = case("\ud800\x1b[31m")
    history = History(store)
    made = evaluation(scores({("\ud800\x1b[31m", "safe"): "fail"}, "\udfff why"), [odd])
    history.put(loaded([odd]), [SAFE], made, None)
    found = history.find("e1")
    assert found is not None and found.scores[0].rationale == "? why"

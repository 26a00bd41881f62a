"""Which candidates become members: quotas, fair shares, near-duplicates, in any order."""

from __future__ import annotations

import random
from dataclasses import replace
from time import process_time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.selection import Candidate, Chooser, Quotas, duration_stratum, features, select

NO_QUOTAS = Quotas(total=None, per_day=None, per_rule=None, per_pattern=None, near_duplicates=None)


def candidate(number: int, question: str | None = None, **changes: Any) -> Candidate:
    known = features({"q": question if question is not None else f"{number:x} " * 9})
    values = {"day": 0, "rules": ("r",), "pattern": "p", **vars(known), **changes}
    return Candidate(f"t{number}", **values)


def outage() -> list[Candidate]:
    """5,000 failures that are alike, and 50 rare ones of ten kinds with the same questions."""
    alike = [candidate(n, f"where is my order {n}", pattern="outage") for n in range(5000)]
    rare = [candidate(n, f"where is my order {n}", pattern=f"rare {n % 10}") for n in range(5000, 5050)]
    return alike + rare


def test_sem_38_an_outage_neither_fills_the_set_nor_hides_what_is_rare() -> None:
    everything = outage()
    quotas = Quotas(total=300, per_day=200, per_pattern=100, near_duplicates=20)
    found = select(everything, quotas)
    by_pattern = {one.pattern: 0 for one in everything}
    for one in everything:
        by_pattern[one.pattern] += one.trace_id in found.kept
    assert by_pattern == {"outage": 20, **{f"rare {n}": 5 for n in range(10)}}
    assert found.counts == {"near_duplicate": 4980}
    wide = select(everything, quotas.model_copy(update={"near_duplicates": None}))
    assert wide.counts == {"pattern_quota": 4900}
    narrow = select(everything, quotas.model_copy(update={"total": 30}))
    assert len(narrow.kept) == 30
    assert {one.pattern for one in everything if one.trace_id in narrow.kept} == set(by_pattern)


def test_every_quota_is_kept_and_names_itself() -> None:
    many = [candidate(n, day=n % 2, rules=(f"r{n % 3}",), pattern=f"p{n % 7}") for n in range(400)]
    for quotas, reason, most in [
        ({"total": 50}, "total_quota", 50),
        ({"per_day": 20}, "day_quota", 40),
        ({"per_rule": 10}, "rule_quota", 30),
        ({"per_pattern": 4}, "pattern_quota", 28),
    ]:
        found = select(many, NO_QUOTAS.model_copy(update=quotas))
        assert (len(found.kept), found.counts) == (most, {reason: 400 - most})


def test_what_does_not_fail_has_no_quota_of_a_pattern() -> None:
    slow = [candidate(n, pattern="") for n in range(30)]
    assert len(select(slow, NO_QUOTAS.model_copy(update={"per_pattern": 3})).kept) == 30


def test_equal_inputs_are_one_record_and_other_spellings_of_them_are_left_out() -> None:
    same = [candidate(n, "same") for n in range(3)]
    shouted = [candidate(3, "same\n"), candidate(4, " same ")]
    found = select([*same, *shouted, candidate(5, "other")], NO_QUOTAS.model_copy(update={"total": 2}))
    records = {one.record for one in (*same, *shouted) if one.trace_id in found.kept}
    assert len(records) == 1
    assert set(found.left_out.values()) == {"duplicate"}
    assert "t5" in found.kept
    otherwise = replace(same[0], trace_id="t9", pattern="another failure")
    assert "t9" in select([*same, otherwise], NO_QUOTAS).kept


def test_strata_get_fair_shares_and_the_rare_ones_all() -> None:
    fast = [candidate(n, strata={"duration": "< 1 s", "outcome": "ok"}, pattern="") for n in range(500)]
    slow = [candidate(n, strata={"duration": "≥ 5 s", "outcome": "ok"}, pattern="") for n in range(500, 600)]
    rare = [
        candidate(n, strata={"duration": "< 1 s", "outcome": "error"}, pattern="") for n in range(600, 605)
    ]
    quotas = NO_QUOTAS.model_copy(update={"total": 100})
    found = select([*fast, *slow, *rare], quotas, ["duration", "outcome"]).kept
    assert all(one.trace_id in found for one in rare)
    shares = [sum(one.trace_id in found for one in group) for group in (fast, slow)]
    assert min(shares) >= 35 and sum(shares) == 95
    without = select([*fast, *slow, *rare], quotas).kept
    assert sum(one.trace_id in without for one in slow) < 30


def test_kinds_of_query_get_fair_shares() -> None:
    orders = [candidate(n, f"where is the parcel of my order number {n}") for n in range(300)]
    refunds = [candidate(n, f"please refund the card payment {n} of last week") for n in range(300, 310)]
    quotas = NO_QUOTAS.model_copy(update={"total": 20})
    found = select([*orders, *refunds], quotas, ["query"]).kept
    assert sum(one.trace_id in found for one in refunds) == 10


def test_what_a_person_named_always_enters_and_what_waits_for_approval_does_not() -> None:
    named = [candidate(n, f" same {'x' * (n % 2)}", by_person=True) for n in range(10)]
    others = [candidate(n, "same", pattern="q") for n in range(10, 15)]
    waiting = [candidate(15, approved=False)]
    found = select([*others, *named, *waiting], Quotas(total=1))
    assert found.kept == {one.trace_id for one in named}
    assert found.left_out == {**{f"t{n}": "total_quota" for n in range(10, 15)}, "t15": "unapproved"}


def test_what_is_not_known_of_inputs_makes_no_duplicates() -> None:
    unknown = [candidate(n, record="", inputs="", signature=b"") for n in range(60)]
    assert len(select(unknown, NO_QUOTAS.model_copy(update={"near_duplicates": 1})).kept) == 60


def test_durations_have_three_strata() -> None:
    durations = (None, 0, 999_999, 1_000_000, 4_999_999, 5_000_000)
    assert [duration_stratum(one) for one in durations] == [
        "unknown", "< 1 s", "< 1 s", "1–5 s", "1–5 s", "≥ 5 s",
    ]  # fmt: skip


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.integers(0, 10**6),
        st.sampled_from(
            ["a b c", " a b c", "where is order 1", "where is order 2", "refund me", "", "x y z"]
        ),
        day=st.integers(0, 2),
        rules=st.sampled_from([("r",), ("s",), ("r", "s")]),
        pattern=st.sampled_from(["", "p", "q", "o"]),
        by_person=st.sampled_from([False, False, False, True]),
        strata=st.sampled_from([{"outcome": "ok"}, {"outcome": "error"}, {}]),
    ),
    max_size=40,
    unique_by=lambda one: one.trace_id,
)
SOME = st.one_of(st.none(), st.integers(1, 5))


@settings(max_examples=200, deadline=None)
@given(
    CANDIDATES, st.builds(Quotas, total=SOME, per_day=SOME, per_rule=SOME, near_duplicates=SOME), st.randoms()
)
def test_sem_37_the_choice_depends_on_the_set_of_candidates_alone(
    candidates: list[Candidate], quotas: Quotas, shuffled: random.Random
) -> None:
    found = select(candidates, quotas, ["outcome", "query"])
    again = list(candidates)
    shuffled.shuffle(again)
    assert select(again, quotas, ["outcome", "query"]) == found
    assert found.kept | set(found.left_out) == {one.trace_id for one in candidates}
    assert not found.kept & set(found.left_out)
    assert {one.trace_id for one in candidates if one.by_person} <= found.kept


@settings(max_examples=100, deadline=None)
@given(CANDIDATES, CANDIDATES, st.randoms())
def test_sem_37_what_comes_and_goes_leaves_the_choice_of_what_is_there(
    first: list[Candidate], second: list[Candidate], drawn: random.Random
) -> None:
    quotas = Quotas(total=6, per_day=3, per_rule=5, per_pattern=2, near_duplicates=1)
    chooser, there = Chooser(quotas, ["outcome"]), dict[str, Candidate]()
    for one in (*first, *second):
        if there and drawn.random() < 0.3:
            gone = drawn.choice(sorted(there))
            chooser.remove(gone)
            del there[gone]
        chooser.put(one)
        there[one.trace_id] = one
        if drawn.random() < 0.3:
            assert chooser.kept() == select(there.values(), quotas, ["outcome"]).kept
    assert chooser.selection() == select(there.values(), quotas, ["outcome"])


def test_trace_ids_make_no_difference() -> None:
    first = outage()
    second = [replace(one, trace_id=f"other {one.trace_id}") for one in first]
    chosen = [select(of, Quotas()).kept for of in (first, second)]
    assert {f"other {trace_id}" for trace_id in chosen[0]} == chosen[1]


def test_a_new_candidate_displaces_few() -> None:
    rng = random.Random(7)
    values = [{"outcome": rng.choice("ab"), "group": rng.choice("abcdefgh")} for _ in range(1230)]
    many = [
        candidate(n, pattern=f"p{min(int(rng.expovariate(0.3)), 20)}", day=n % 9, strata=values[n])
        for n in range(1230)
    ]
    quotas = Quotas(total=300, per_day=60, per_pattern=50)
    before, left = select(many[:1200], quotas, ["outcome", "group"]).kept, []
    for number in range(1200, 1230):
        after = select(many[: number + 1], quotas, ["outcome", "group"]).kept
        left.append(len(before - after))
        before = after
    assert sum(left) / len(left) < 1 and max(left) <= 4


def test_five_thousand_candidates_take_less_than_a_second() -> None:
    everything = outage()
    began = process_time()
    select(everything, Quotas(), ["query"])
    assert process_time() - began < 1

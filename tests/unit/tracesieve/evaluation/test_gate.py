"""The gate: thresholds, regressions, and that no silence of a scorer is ever a pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evaluated import case, scores

from tracesieve.config.evaluation import ScorerConfig
from tracesieve.evaluation.gate import Verdict, judge
from tracesieve.evaluation.score import Passing, Score, outcome_of, worst


def verdict(
    now: dict[str, str], before: dict[str, str] | None = None, scorer: str = "safe", **config: object
) -> Verdict:
    """Of one scorer, outcomes by question."""
    earlier = None if before is None else scores({(q, scorer): one for q, one in before.items()})
    made = ScorerConfig(scorer="Safety", **config)
    return judge(scores({(q, scorer): one for q, one in now.items()}), earlier, {scorer: made})


def test_what_passed_before_and_fails_now_is_named_and_fails_the_gate() -> None:
    found = verdict({"one": "fail", "two": "pass"}, {"one": "pass", "two": "pass"})
    assert not found.passed
    assert [one.record for one in found.worse] == [case("one").key]
    assert found.reasons == ["safe: 1 fail that passed before, at most 0 may"]


def test_what_failed_before_and_fails_now_is_no_regression_and_what_passes_now_is_fixed() -> None:
    found = verdict({"one": "fail", "two": "pass"}, {"one": "fail", "two": "fail"})
    assert (found.passed, found.worse) == (True, [])
    assert [one.record for one in found.fixed] == [case("two").key]


def test_records_that_came_and_went_are_named_and_compared_with_nothing() -> None:
    found = verdict({"new": "fail", "one": "pass"}, {"one": "pass", "old": "pass"})
    assert (found.passed, found.new, found.gone) == (True, [case("new").key], [case("old").key])
    assert verdict({"new": "pass"}).new == []  # the first evaluation: all of them are


def test_sem_40_a_judge_that_gave_no_answer_is_never_a_pass() -> None:
    found = verdict({"one": "pass", "two": "error"}, at_least=1.0)
    assert found.scorers[0].share == 1.0
    assert found.reasons == ["safe: 1 have no score, at most 0 may"]
    assert verdict({"one": "pass", "two": "error"}, at_most_errors=1).passed
    assert not verdict({"one": "error"}, {"one": "pass"}).passed


def test_a_scorer_that_could_judge_no_record_does_not_let_it_through() -> None:
    found = verdict({"one": "skipped", "two": "skipped"})
    assert found.reasons == ["safe: it could judge no record (2 lack what it needs)"]


def test_a_share_below_the_bound_fails_and_one_at_it_passes() -> None:
    three_of_four = {"a": "pass", "b": "pass", "c": "pass", "d": "fail"}
    assert verdict(three_of_four, at_least=0.75).passed
    (reason,) = verdict(three_of_four, at_least=0.76).reasons
    assert reason == "safe: 3 of 4 answers pass (75.0%), at least 76.0% must"


def test_bounds_of_regressions_allow_some_or_any() -> None:
    before, now = {"a": "pass", "b": "pass"}, {"a": "fail", "b": "fail"}
    assert not verdict(now, before, at_most_worse=1).passed
    assert verdict(now, before, at_most_worse=2).passed
    assert verdict(now, before, at_most_worse=None).passed


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_six_numbers_are_those_of_mlflow(values: list[float]) -> None:
    found = [
        Score(f"{number:03}", "length", "pass", repr(value), "", "") for number, value in enumerate(values)
    ]
    numbers = judge(found, None, {"length": ScorerConfig(scorer="x:y")}).scorers[0].numbers
    assert list(numbers) == ["min", "max", "mean", "median", "variance", "p90"]
    wanted = [min(values), max(values), np.mean(values), np.median(values), np.var(values)]
    wanted.append(np.percentile(values, 90))
    assert list(numbers.values()) == pytest.approx(wanted, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "passing", "outcome"),
    [
        (True, Passing(), "pass"),
        (False, Passing(), "fail"),
        ("yes", Passing(), "pass"),
        ("No", Passing(), "fail"),
        (0.7, Passing(0.7), "pass"),
        (0.69, Passing(0.7), "fail"),
        (3, Passing(None, 2), "fail"),
        (2, Passing(1, 2), "pass"),
        (5, Passing(own=lambda value: value > 4), "pass"),
        (0.7, Passing(), "error"),
        (float("nan"), Passing(0.5), "error"),
        ("maybe", Passing(), "error"),
        ("unknown", Passing(), "error"),
        (None, Passing(), "error"),
        ([1], Passing(), "error"),
    ],
)
def test_only_a_plain_yes_or_a_number_within_its_bounds_passes(
    value: object, passing: Passing, outcome: str
) -> None:
    assert outcome_of(value, passing)[0] == outcome


def test_of_several_answers_the_worst_counts() -> None:
    assert worst(["pass", "fail", "pass"]) == "fail"
    assert worst(["fail", "error"]) == "error"
    assert worst(["pass", "skipped"]) == "pass"

"""What scorers are asked and what becomes of what they say, without any server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.evaluated import case, settings_with

from sinks.mlflow.dataset_server import digest
from tracesieve.evaluation.asked import Asked
from tracesieve.evaluation.case import Case
from tracesieve.evaluation.retrying import retried
from tracesieve.evaluation.score import Score
from tracesieve.evaluation.scorers import scorers_of

CODE = """
from mlflow.entities import Feedback

def raises(outputs):
    raise RuntimeError("429 too many requests")

def says_none(outputs):
    return None

def several(outputs):
    return [Feedback(name="a", value=True), Feedback(name="b", value=False, rationale="b is wrong")]

def empty_feedback(outputs):
    return Feedback(value=None)

def sees(inputs, outputs, expectations):
    return outputs == expectations.get("right") and inputs["q"] == "one"

def number(outputs):
    return 0.4
"""

BUSY = """
class RateLimitError(Exception):
    status_code = 429

left = [1, 2]

def busy_first(outputs):
    if left:
        left.pop()
        raise RateLimitError
    return True
"""


def asked(folder: Path, scorer: str, one: Case, answer: Any = ..., **config: Any) -> Score:
    (folder / "evals.py").write_text(CODE)
    more = "".join(f", {key}: {value}" for key, value in config.items())
    (named,) = scorers_of(settings_with(folder, f"scorers: {{s: {{scorer: {scorer!r}{more}}}}}"), "d")
    asking = Asked([one], {}, {one.key: one.outputs if answer is ... else answer})
    asking.for_mlflow(named, digest)(inputs=dict(one.inputs), trace=None)
    (found,) = asking.scores([named])
    return found


def test_a_scorer_that_raises_is_an_error(tmp_path: Path) -> None:
    found = asked(tmp_path, "evals.py:raises", case("one"))
    assert (found.outcome, found.rationale) == ("error", "RuntimeError: 429 too many requests")


def test_a_scorer_that_says_nothing_is_skipped_and_an_empty_feedback_is_an_error(tmp_path: Path) -> None:
    assert asked(tmp_path, "evals.py:says_none", case("one")).outcome == "skipped"
    assert asked(tmp_path, "evals.py:empty_feedback", case("one")).outcome == "error"


def test_of_several_feedbacks_the_worst_counts(tmp_path: Path) -> None:
    found = asked(tmp_path, "evals.py:several", case("one"))
    assert (found.outcome, found.rationale) == ("fail", "b is wrong")


def test_a_scorer_sees_inputs_answer_and_expectations_as_they_are(tmp_path: Path) -> None:
    assert asked(tmp_path, "evals.py:sees", case("one", 5, right=5)).outcome == "pass"
    nested = {"a": [1, None, 2.0]}
    assert asked(tmp_path, "evals.py:sees", case("one", nested, right=nested)).outcome == "pass"


def test_a_number_passes_by_the_bounds_of_the_config(tmp_path: Path) -> None:
    assert asked(tmp_path, "evals.py:number", case("one"), pass_from=0.4).outcome == "pass"
    assert asked(tmp_path, "evals.py:number", case("one"), pass_from=0.5).outcome == "fail"
    assert "pass_from" in asked(tmp_path, "evals.py:number", case("one")).rationale


def test_a_record_without_the_expectation_that_a_scorer_needs_is_skipped(tmp_path: Path) -> None:
    found = asked(tmp_path, "Correctness", case("one"))
    assert (found.outcome, "expected_response" in found.rationale) == ("skipped", True)


@pytest.mark.parametrize(
    ("answer", "outcome"), [(None, "fail"), (12345, "fail"), ([1], "pass"), ({}, "pass"), ("ab", "pass")]
)
def test_any_stored_answer_can_be_judged_by_a_scorer_of_mlflow(
    tmp_path: Path, answer: Any, outcome: str
) -> None:
    assert (
        asked(tmp_path, "ResponseLength", case("one", answer), arguments="{max_length: 4}").outcome == outcome
    )


def test_an_application_that_raises_fails_every_scorer(tmp_path: Path) -> None:
    found = asked(tmp_path, "evals.py:says_none", case("one"), ValueError("boom"))
    assert (found.outcome, found.rationale) == ("fail", "the application raised ValueError: boom")


def test_a_record_that_was_never_asked_about_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "evals.py").write_text(CODE)
    (named,) = scorers_of(settings_with(tmp_path, "scorers: {s: 'evals.py:says_none'}"), "d")
    assert [one.outcome for one in Asked([case("one")], {}, {}).scores([named])] == ["error"]


class Busy(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__("busy")
        self.status_code = status_code


@pytest.mark.parametrize(
    ("errors", "calls", "slept"),
    [
        ([Busy(429), Busy(503)], 3, [1.0, 2.0]),
        ([TimeoutError(), ConnectionResetError()], 3, [1.0, 2.0]),
        ([ValueError("429 too many requests")], 1, []),  # a text says nothing
        ([Busy(400)], 1, []),
        ([Busy(429)] * 9, 3, [1.0, 2.0]),
    ],
)
def test_what_is_busy_for_the_moment_is_called_again(
    errors: list[Exception], calls: int, slept: list[float]
) -> None:
    waited: list[float] = []
    left, made = list(errors), []

    def call() -> bool:
        made.append(1)
        if left:
            raise left.pop(0)
        return True

    try:
        assert retried(call, 2, waited.append) is True
    except (Busy, ValueError) as error:
        assert error in errors
    assert (len(made), waited) == (calls, slept)


def test_a_code_scorer_whose_model_is_busy_is_asked_again_and_its_answer_counts(tmp_path: Path) -> None:
    (tmp_path / "evals.py").write_text(BUSY)
    one = case("one")
    (named,) = scorers_of(settings_with(tmp_path, "scorers: {s: 'evals.py:busy_first'}"), "d")
    waited: list[float] = []
    asking = Asked([one], {}, {one.key: "a"}, 3, waited.append)
    asking.for_mlflow(named, digest)(inputs=dict(one.inputs), trace=None)
    assert ([score.outcome for score in asking.scores([named])], waited) == (["pass"], [1.0, 2.0])

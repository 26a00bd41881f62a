"""Judges at a local OpenAI-compatible endpoint: asked through MLflow's own scorers, with patience of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.evaluated import case, settings_with
from support.judge_server import Judge, judge_server

from sinks.mlflow.dataset_server import digest
from tracesieve.config.evaluation import EvaluationConfig
from tracesieve.evaluation.asked import Asked, content_of
from tracesieve.evaluation.case import Case
from tracesieve.evaluation.judge import JudgeLine, asked_through
from tracesieve.evaluation.score import Score
from tracesieve.evaluation.scorers import scorers_of

EVALUATION = """
scorers: {{polite: {{scorer: Guidelines, arguments: {{guidelines: be polite}}}}}}
judge: {{model: "openai:/small", endpoint: "{uri}", api_key_env: JUDGE_KEY, timeout: 1s}}
retries: 2
"""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setenv("JUDGE_KEY", "secret\n")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    with judge_server() as server:
        yield server


class Asking:
    """Asks one judge about cases, without a server of MLflow; ``slept`` is how long it waited."""

    def __init__(self, folder: Path, judge: Judge) -> None:
        settings = settings_with(folder, EVALUATION.format(uri=judge.uri))
        (self.named,) = scorers_of(settings, "d")
        self.config: EvaluationConfig = settings.evaluation
        self.slept: list[float] = []
        self.line = JudgeLine(self.config, self.slept.append)

    def about(self, *cases: Case, known: dict[tuple[str, str], Score] | None = None) -> list[Score]:
        asked = Asked(cases, known or {}, {one.key: one.outputs for one in cases})
        scorer: Any = asked.for_mlflow(self.named, digest)
        with asked_through(self.line, self.config.judge):
            self.feedback = [scorer(inputs=dict(one.inputs), trace=None) for one in cases]
        return asked.scores([self.named])


@pytest.fixture
def asking(tmp_path: Path, judge: Judge) -> Asking:
    return Asking(tmp_path, judge)


def test_a_judge_is_asked_at_its_own_endpoint_with_its_own_key(asking: Asking, judge: Judge) -> None:
    judge.no = {"rude"}
    found = {one.record: one for one in asking.about(case("one", "kind"), case("two", "rude"))}
    assert found[case("one").key].outcome == "pass"
    assert (found[case("two").key].outcome, found[case("two").key].rationale) == ("fail", "judged here")
    assert judge.keys == {"Bearer secret": 2}
    assert judge.asked[0]["model"] == "small"
    assert "OPENAI_API_BASE" not in os.environ  # the application under test asks where it always does


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_judge_is_asked_again_and_its_answer_counts(asking: Asking, judge: Judge, status: int) -> None:
    judge.refuse_first, judge.status = 2, status
    assert [one.outcome for one in asking.about(case("one"))] == ["pass"]
    assert (len(judge.asked), asking.slept) == (3, [1.0, 2.0])


def test_a_judge_says_itself_how_long_to_wait(asking: Asking, judge: Judge) -> None:
    judge.refuse_first, judge.retry_after = 1, "7"
    asking.about(case("one"))
    assert asking.slept == [7.0]


def test_a_judge_that_stays_busy_is_an_error_and_no_value_in_mlflow(asking: Asking, judge: Judge) -> None:
    judge.refuse_first = 100
    (found,) = asking.about(case("one"))
    assert (found.outcome, found.rationale) == ("error", "the judge gave no answer: HTTP 429")
    assert len(judge.asked) == 3
    assert asking.feedback[0].value is None
    assert asking.feedback[0].error.error_message == found.rationale


def test_a_judge_that_does_not_answer_in_time_is_an_error(asking: Asking, judge: Judge) -> None:
    judge.silent = True
    (found,) = asking.about(case("one"))
    assert (found.outcome, found.rationale) == ("error", "the judge gave no answer: no answer (timed out)")


def test_a_login_that_is_refused_is_not_repeated(asking: Asking, judge: Judge) -> None:
    judge.refuse_first, judge.status = 100, 401
    (found,) = asking.about(case("one"))
    assert (found.outcome, len(judge.asked), asking.slept) == ("error", 1, [])


@pytest.mark.parametrize(
    "nonsense", ["not JSON at all", '{"result": "perhaps", "rationale": "r"}', '{"x": 1}', ""]
)
def test_nonsense_is_an_error_and_never_a_pass(asking: Asking, judge: Judge, nonsense: str) -> None:
    judge.broken = {"weird": nonsense}
    found = {one.record: one.outcome for one in asking.about(case("one", "weird"), case("two", "fine"))}
    assert found == {case("one").key: "error", case("two").key: "pass"}


def test_a_judge_that_is_away_is_not_asked_about_every_record(asking: Asking, judge: Judge) -> None:
    judge.refuse_first = 10_000
    found = asking.about(*(case(f"q{number}") for number in range(30)))
    assert {one.outcome for one in found} == {"error"}
    assert len(judge.asked) == 8 * 3


def test_what_was_judged_before_is_not_asked_again(asking: Asking, judge: Judge) -> None:
    one, two = case("one"), case("two")
    before = Score(one.key, "polite", "fail", "no", "rude", content_of(one, one.outputs))
    known = {(asking.named.hash, before.content): before}
    found = {each.record: each for each in asking.about(one, two, known=known)}
    assert (found[one.key].outcome, found[one.key].reused, found[one.key].rationale) == ("fail", True, "rude")
    assert not found[two.key].reused
    assert len(judge.asked) == 1


def test_mlflow_is_as_it_was_afterwards(asking: Asking) -> None:
    from mlflow.genai.judges.adapters import gateway_adapter, utils

    asking.about(case("one"))
    assert gateway_adapter.send_chat_request is utils.send_chat_request

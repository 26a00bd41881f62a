"""Scorers of the config: MLflow's own, the user's code; every mistake at once, at its line, with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.evaluated import settings_with, write_config

from tracesieve.config.loading import load_settings
from tracesieve.errors import ConfigError
from tracesieve.evaluation.code import CodeNotFoundError, load_code
from tracesieve.evaluation.scorers import NamedScorer, scorers_of

CODE = """
from mlflow.genai.scorers import Scorer, scorer

def short(outputs, most=10):
    return len(str(outputs)) <= most

def needs(outputs, level):
    return True

@scorer(pass_if=lambda value: value > 2)
def counted(outputs) -> int:
    return len(outputs)

class Polite(Scorer):
    word: str = "please"

    def __call__(self, *, outputs):
        return self.word in outputs

number = 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "evals.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    return tmp_path


def made(folder: Path, evaluation: str, dataset: str = "d") -> dict[str, NamedScorer]:
    return {one.name: one for one in scorers_of(settings_with(folder, evaluation), dataset)}


def mistakes(folder: Path, evaluation: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        scorers_of(settings_with(folder, evaluation), "d")
    return [line.replace(str(folder), "") for line in str(error.value).splitlines()]


def test_scorers_of_mlflow_functions_classes_and_instances_are_made(folder: Path) -> None:
    found = made(
        folder,
        """
scorers:
  safe: Safety
  polite: {scorer: Guidelines, arguments: {guidelines: [be polite]}}
  short: {scorer: "evals.py:short", arguments: {most: 3}}
  counted: "evals.py:counted"
  please: {scorer: "evals:Polite", arguments: {word: thanks}}
judge: {model: "openai:/small", endpoint: "http://127.0.0.1:9/v1"}
""",
    )
    assert [one.name for one in found.values() if one.asks_model] == ["polite", "safe"]
    assert found["safe"].scorer.model == "openai:/small"
    assert [found["short"].scorer.run(outputs=text) for text in ("abc", "abcd")] == [True, False]
    assert found["please"].scorer.run(outputs="thanks") is True
    assert found["counted"].passing.own is not None


def test_all_mistakes_are_said_at_once_with_their_lines(folder: Path) -> None:
    found = mistakes(
        folder,
        """
scorers:
  a: Safty
  b: {scorer: ResponseLength}
  c: {scorer: Guidelines, arguments: {guideline: x}}
  d: "evals.py:missing"
  e: {scorer: "evals.py:needs"}
  f: "broken.py:x"
  g: "nowhere.py:x"
  h: UserFrustration
  i: "evals.py:number"
""",
    )
    assert [line.split(": ", 1)[0] for line in found] == [f"/tracesieve.yaml:{n}" for n in range(6, 15)]
    assert "MLflow has no scorer Safty (did you mean Safety?)" in found[0]
    assert "at least one of `min_length` or `max_length`" in found[1]
    assert "Guidelines takes no guideline" in found[2]
    assert "evals.py has no missing" in found[3]
    assert "needs level" in found[4]
    assert "broken.py cannot be imported: ModuleNotFoundError" in found[5]
    assert "nowhere.py is not there" in found[6]
    assert "UserFrustration judges whole conversations" in found[7]
    assert "is no function and no scorer" in found[8]


def test_a_scorer_is_another_when_anything_that_it_says_may_change(folder: Path) -> None:
    base = 'scorers: {short: {scorer: "evals.py:short", arguments: {most: 3}}}'
    first = made(folder, base)["short"].hash
    assert (
        made(folder, base.replace("}}}", "}, at_least: 0.5}}"))["short"].hash == first
    )  # a bound of the gate
    assert made(folder, base.replace("3", "4"))["short"].hash != first
    safe = "scorers: {safe: Safety}\njudge: {model: 'openai:/a', endpoint: 'http://127.0.0.1:9/v1'}"
    assert made(folder, safe)["safe"].hash != made(folder, safe.replace("/a", "/b"))["safe"].hash


def test_a_scorer_may_judge_some_datasets_only_and_none_is_a_mistake(folder: Path) -> None:
    evaluation = "scorers: {short: {scorer: PIIDetection, datasets: [d]}}"
    assert list(made(folder, evaluation)) == ["short"]
    with pytest.raises(ConfigError, match="no scorer judges other"):
        made(folder, evaluation, "other")


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ("scorers: {'a b': Safety}", "the name of a scorer"),
        ("scorers: {a: {scorer: Safety, at_leest: 1}}", "did you mean `at_least`"),
        (
            "scorers: {a: {scorer: Safety, at_least: 95}}",
            "not 95 (the share of answers that must pass",
        ),
        ("scorers: {a: {scorer: x.y:z, pass_from: 2, pass_up_to: 1}}", "no number could pass"),
        ("judge: {endpoint: '127.0.0.1:8000/v1'}", "http://127.0.0.1:8000/v1"),
        ("judge: {model: gpt-4}", "openai:/gpt-4.1-mini"),
        ("judge: {model: 'anthropic:/x', endpoint: 'http://h/v1'}", "begins with openai:/"),
        ("judge: {api_key_env: KEY}", "goes with endpoint"),
    ],
)
def test_mistakes_in_the_config_are_named_when_it_is_loaded(
    folder: Path, evaluation: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(write_config(folder, evaluation))
    assert message in str(error.value)


def test_code_is_found_beside_the_config_from_whatever_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert load_code("evals.py:short", folder).value("abc") is True
    with pytest.raises(CodeNotFoundError, match="there is no module surely_not_there"):
        load_code("surely_not_there:x", folder)


def test_an_edited_file_is_other_code(folder: Path) -> None:
    first = load_code("evals.py:short", folder).source_hash
    (folder / "evals.py").write_text(CODE + "\n# edited\n")
    assert load_code("evals.py:short", folder).source_hash != first

"""Mistakes that are found before anybody is asked anything, with exit code 2 and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.evaluated import settings_with, write_config
from support.versioned_records import PLACE, record, taken

from store import Store, open_store
from tracesieve.commands.datasets.evaluate import command
from tracesieve.errors import ConfigError, TracesieveError
from tracesieve.evaluation.evaluate import Wanted, evaluate

SAFE = "scorers: {safe: Safety}"
CODE = "scorers: {short: {scorer: ResponseLength, arguments: {max_length: 5}}}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(str(tmp_path / ".tracesieve"))
    taken(made, record("one"))
    return made


def mistake(
    folder: Path, store: Store, evaluation: str = CODE, name: str = PLACE.dataset, **more: str
) -> str:
    with pytest.raises(TracesieveError) as error:
        evaluate(settings_with(folder, evaluation), store, Wanted(name, **more), 1)
    assert error.value.exit_code == 2
    return str(error.value)


def test_a_dataset_or_version_that_is_not_there_is_named_with_what_is(tmp_path: Path, store: Store) -> None:
    assert "did you mean tracesieve_error_case?" in mistake(tmp_path, store, name="tracesieve_eror_case")
    assert "has no version 'ffff'" in mistake(tmp_path, store, name=f"{PLACE.dataset}@ffff")


def test_a_key_that_is_missing_is_known_before_a_judge_is_asked(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY is not set" in mistake(tmp_path, store, SAFE)
    own = f"{SAFE}\njudge: {{endpoint: 'http://127.0.0.1:9/v1', api_key_env: NO_SUCH_KEY}}"
    found = mistake(tmp_path, store, own)
    assert "tracesieve.yaml:6" in found and "the environment variable NO_SUCH_KEY is not set" in found


def test_an_application_that_cannot_be_had_is_named(tmp_path: Path, store: Store) -> None:
    (tmp_path / "app.py").write_text("number = 5\ndef question(question):\n    return question\n")
    assert "write module:function" in mistake(tmp_path, store, application="app.answer")
    assert "app.py has no answer" in mistake(tmp_path, store, application="app.py:answer")
    assert "it is no function" in mistake(tmp_path, store, application="app.py:number")
    found = mistake(tmp_path, store, application="app.py:question")
    assert "it does not take the inputs of a record (q) as arguments" in found


def test_an_evaluation_to_compare_with_must_be_there(tmp_path: Path, store: Store) -> None:
    assert "there is no such evaluation of it" in mistake(tmp_path, store, against="abc")


def test_a_config_without_a_server_says_what_to_write(tmp_path: Path, store: Store) -> None:
    path = write_config(tmp_path, CODE)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "mlflow: {t" not in line))
    done = CliRunner().invoke(command, [PLACE.dataset, "-c", str(path)])
    assert isinstance(done.exception, ConfigError)
    assert "mlflow: {tracking_uri:" in str(done.exception)


def test_a_version_without_records_cannot_be_evaluated(tmp_path: Path) -> None:
    empty = open_store(str(tmp_path / "empty"))
    taken(empty, record("one"))
    taken(empty, at_us=1_900_000_000_000_000)
    assert "the version has no records" in mistake(tmp_path, empty)

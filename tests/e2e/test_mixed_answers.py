"""Texts, objects, lists, numbers and no answers at all in one dataset of a real server, and what scorers make
of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.dataset_cases import Datasets
from support.servers import MlflowServer

from sinks.mlflow.answers import schema_of_outputs
from store import open_store

pytestmark = pytest.mark.e2e
OBJECT = '{"answer": "order 17", "sources": ["a"]}'


@pytest.fixture
def datasets(mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path) -> Datasets:
    return Datasets(mlflow_server.uri, experiment[0], open_store(str(tmp_path / "store")))


def _outputs(datasets: Datasets) -> dict[str, Any]:
    return {name: record.outputs for name, record in datasets.records().items()}


@pytest.mark.parametrize("together", [True, False])
def test_answers_of_every_kind_are_held_in_one_dataset_as_they_are(
    datasets: Datasets, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "m1": ('"order 17"', "order 17"),
        "m2": (OBJECT, {"answer": "order 17", "sources": ["a"]}),
        "m3": ("[1, 2]", [1, 2]),
        "m4": ("17", 17),
        "m5": ("null", None),
        "m6": (None, None),
        "m7": ("not JSON", "not JSON"),
        "m8": ("{}", {}),
        "m9": ("true", True),
    }
    if together:
        datasets.answers({name: response for name, (response, _) in answers.items()})
    else:
        for name, (response, _) in answers.items():
            datasets.answers({name: response})
    assert _outputs(datasets) == {name: output for name, (_, output) in answers.items()}
    assert isinstance(schema_of_outputs(datasets.dataset().schema), dict)
    datasets.restart()
    datasets.answers({"m1": OBJECT})  # a retry, with another content by now: what stands is not written again
    assert _outputs(datasets)["m1"] == "order 17"


def test_scorers_read_each_answer_as_the_trace_gave_it(datasets: Datasets) -> None:
    import mlflow
    from mlflow.genai.scorers import RegexMatch, scorer

    datasets.answers({"m1": '"order 17"', "m2": OBJECT, "m3": '["order 17"]', "m4": '"none"'})
    seen: dict[str, Any] = {}

    @scorer
    def kind(inputs: dict[str, Any], outputs: Any) -> bool:
        seen[inputs["q"]] = outputs
        return isinstance(outputs, str)

    mlflow.set_tracking_uri(datasets.uri)
    mlflow.set_experiment(experiment_id=datasets.experiment_id)
    found = mlflow.genai.datasets.get_dataset(dataset_id=datasets.dataset().dataset_id)
    result = mlflow.genai.evaluate(data=found, scorers=[kind, RegexMatch(pattern="order [0-9]+")])
    assert seen == {
        "m1": "order 17",
        "m2": {"answer": "order 17", "sources": ["a"]},
        "m3": ["order 17"],
        "m4": "none",
    }
    rows = {row["request"]["q"]: row for _, row in result.result_df.iterrows()}
    matched = {name: str(row["regex_match/value"]) for name, row in rows.items()}
    assert matched == {"m1": "yes", "m2": "yes", "m3": "yes", "m4": "no"}


def test_a_dataset_that_began_with_texts_keeps_them_and_takes_objects_as_json_text(
    datasets: Datasets,
) -> None:
    store, client = datasets.sink.server._store, datasets.sink.server._client
    made = client.create_dataset("tracesieve_error_case", [datasets.experiment_id], {"tracesieve": "true"})
    old = {"inputs": {"q": "old"}, "outputs": "an older text", "tags": {"mine": "1"}}
    store.upsert_dataset_records(made.dataset_id, [old])
    assert schema_of_outputs(datasets.dataset().schema) == "string"
    before = datasets.records()["old"]
    datasets.answers({"m1": OBJECT, "m2": '"text"', "m3": "[1]", "m4": "{}"})
    assert _outputs(datasets) == {"old": "an older text", "m1": OBJECT, "m2": "text", "m3": [1], "m4": "{}"}
    assert datasets.records()["old"] == before
    # What was written as a text is ours, not an edit of a person: it can be withdrawn.
    datasets.restart()
    datasets.deliver("m1")
    assert "m1" not in _outputs(datasets)


def test_a_person_may_add_a_text_between_our_look_and_our_write(datasets: Datasets) -> None:
    server = datasets.sink.server
    dataset_id = server.dataset("tracesieve_error_case", datasets.experiment_id)
    merge = server.merge
    theirs = [{"inputs": {"q": "theirs"}, "outputs": "a text"}]

    def beaten(dataset_id: str, records: Any) -> None:
        server.merge = merge  # type: ignore[method-assign]
        server._store.upsert_dataset_records(dataset_id, theirs)
        merge(dataset_id, records)

    server.merge = beaten  # type: ignore[method-assign]
    assert server.listing(dataset_id) == {}
    datasets.answers({"m1": OBJECT, "m2": '"b"'})
    assert _outputs(datasets) == {"theirs": "a text", "m1": OBJECT, "m2": "b"}

"""Redaction at the datasets' door, against a real MLflow server: nothing unredacted is written, and records
of a program before it are found, move, and keep what people gave them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.dataset_cases import CONTENT, Contents, Datasets
from support.servers import MlflowServer

from sinks.errors import Refused
from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.dataset_server import DatasetServer
from sinks.mlflow.datasets import MlflowDatasets
from sinks.mlflow.provenance import OUTPUT, REDACTED, REDACTION, SOURCES, WITHDRAWN, edited
from sinks.mlflow.records import Records
from sinks.mlflow.redaction import RedactionConfig
from store import Store, open_store

pytestmark = pytest.mark.e2e
BOB, AMY = "bob@example.com", "amy@example.com"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def datasets(
    mlflow_server: MlflowServer, experiment: tuple[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> Datasets:
    for number, (who, answer) in enumerate([(BOB, f"to {BOB}"), (AMY, f"to {AMY}"), ("nobody", "x")], 1):
        monkeypatch.setitem(CONTENT, f"r{number}", (json.dumps({"q": f"mail {who}"}), json.dumps(answer)))
    return Datasets(mlflow_server.uri, experiment[0], store)


def with_redaction(datasets: Datasets, redaction: Any) -> None:
    datasets.sink = MlflowDatasets(
        datasets.uri, DatasetsConfig(redaction=redaction), datasets.store, Contents()
    )


def before_redaction(datasets: Datasets, *traces: str) -> None:
    """Records as an earlier program wrote them, and a new process with redaction after it."""
    with_redaction(datasets, False)
    datasets.together(*((trace, "error_case") for trace in traces))


def everything(datasets: Datasets) -> str:
    return json.dumps([one.to_dict() for one in datasets.records().values()])


def person_edits(datasets: Datasets, inputs: dict[str, Any], **edit: Any) -> None:
    row = {"inputs": inputs, **edit}
    datasets.sink.server._store.upsert_dataset_records(datasets.dataset().dataset_id, [row])


def test_requests_that_differ_in_an_address_are_one_record_without_any(datasets: Datasets) -> None:
    datasets.together(("r1", "error_case"), ("r2", "error_case"))
    (record,) = datasets.records().values()
    assert (record.inputs, record.outputs) == ({"q": "mail [EMAIL_1]"}, "to [EMAIL_1]")
    assert json.loads(record.tags[SOURCES]) == ["r1", "r2"]
    assert record.tags[REDACTED] == "EMAIL 1"
    assert not edited(record)
    assert "@example" not in everything(datasets)
    datasets.restart()
    datasets.deliver("r2")  # the output is then the other trace's, fetched again
    assert datasets.records()["mail [EMAIL_1]"].outputs == "to [EMAIL_1]"
    assert "@example" not in everything(datasets)


def test_a_record_of_before_moves_with_what_a_person_gave_it(datasets: Datasets) -> None:
    before_redaction(datasets, "r1", "r2", "r3")
    edit = {"expectations": {"answer": f"told {BOB}"}, "tags": {"mine": "1"}}
    person_edits(datasets, {"q": f"mail {BOB}"}, **edit)
    untouched = datasets.records()["mail nobody"]
    for _ in range(2):  # and once more, by a new process
        datasets.restart()
        datasets.deliver("r3", "error_case")
        assert set(datasets.records()) == {"mail [EMAIL_1]", "mail nobody"}
        record = datasets.records()["mail [EMAIL_1]"]
        assert record.expectations == {"answer": "told [EMAIL_1]"}
        assert record.tags["mine"] == "1"
        assert json.loads(record.tags[SOURCES]) == ["r1", "r2"]
        assert "@example" not in everything(datasets)
        assert datasets.records()["mail nobody"].last_update_time == untouched.last_update_time
    datasets.deliver("r1")
    datasets.deliver("r2")
    assert datasets.records()["mail [EMAIL_1]"].tags[WITHDRAWN] == "true"


@pytest.mark.parametrize("cut", ["merge", "change", "delete"])
def test_a_move_that_is_killed_is_finished(
    datasets: Datasets, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_redaction(datasets, "r1", "r3")
    person_edits(datasets, {"q": f"mail {BOB}"}, expectations={"answer": 4}, outputs=f"better {BOB}")
    datasets.restart()
    place = Records if cut == "change" else DatasetServer
    real = getattr(place, cut)

    def killed(*arguments: Any) -> None:
        if cut == "merge":
            real(*arguments)
        if cut != "change" or arguments[1]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, cut, killed)
        with pytest.raises(KeyboardInterrupt):
            datasets.deliver("r3", "error_case")
    datasets.restart()
    datasets.deliver("r3", "error_case")
    assert set(datasets.records()) == {"mail [EMAIL_1]", "mail nobody"}
    record = datasets.records()["mail [EMAIL_1]"]
    assert (record.expectations, record.outputs) == ({"answer": 4}, "better [EMAIL_1]")
    assert json.loads(record.tags[SOURCES]) == ["r1"]
    assert edited(record)


def test_an_output_alone_is_written_again_and_a_persons_is_not(datasets: Datasets) -> None:
    for trace, answer in (("s1", f"to {BOB}"), ("s2", "y")):
        CONTENT[trace] = (json.dumps({"q": trace}), json.dumps(answer))
    before_redaction(datasets, "s1", "s2", "r3")
    person_edits(datasets, {"q": "s2"}, outputs=f"mine for {AMY}")
    datasets.restart()
    datasets.deliver("r3", "error_case")
    records = datasets.records()
    assert records["s1"].outputs == "to [EMAIL_1]"
    assert records["s1"].tags.keys() >= {OUTPUT, REDACTED, REDACTION}
    assert not edited(records["s1"])
    assert records["s2"].outputs == f"mine for {AMY}"


def test_a_record_that_cannot_be_redacted_is_refused_and_others_are_not(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(texts: list[str]) -> list[list[Any]]:
        if any("nobody" in text for text in texts):
            raise RuntimeError
        return [[] for _ in texts]

    monkeypatch.setattr("support.dataset_cases.find", find, raising=False)
    with_redaction(datasets, RedactionConfig(plugin="support.dataset_cases:find"))
    with pytest.raises(Refused, match="not redacted, so not written"):
        datasets.together(("r1", "error_case"), ("r3", "error_case"))
    assert set(datasets.records()) == {"mail [EMAIL_1]"}

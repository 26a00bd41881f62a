"""What is noted of a dataset beside its records: what was left out, and what its members cover and lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.dataset_candidates import RULES, counted, failed, follower
from support.made_facts import T0

from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.records import GONE, RecordKey, Records, RecordSource, marked
from store import Store, open_store
from tracesieve.commands.datasets.noted import lines
from tracesieve.datasets.coverage import noted
from tracesieve.datasets.listing import flat
from tracesieve.datasets.sets import DatasetSets

NOW = T0 + 3_600_000_000
KINDS = ["timed out", "refused", "no such index", "bad answer"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def sets(**config: Any) -> DatasetSets:
    return DatasetSets(DatasetsConfig.model_validate(config))


def test_sem_39_a_dataset_says_what_it_covers_and_what_it_lacks(store: Store) -> None:
    rows = [failed(f"t{n}", f"the tool {KINDS[n % 3]}") for n in range(90)]
    unmatched = [
        failed(f"u{n}", f"the tool {KINDS[3]}", rules=[], group=["billing"], duration_us=9_000_000)
        for n in range(30)
    ]
    elsewhere = [failed("e", "in another experiment", experiment_id="2", rules=[])]
    counted(store, 0, [*rows, *unmatched, *elsewhere])
    quotas = {"total": 10}
    follower(store, quotas=quotas).step(RULES, 1)
    note = noted(store, sets(quotas=quotas), "tracesieve_error_case", "1", NOW)
    assert note["left_out"] == {"total_quota": 80}
    found = note["coverage"]
    assert (found["failures"], found["patterns"], found["share"], found["unseen"]) == (120, 4, 0.75, 0.0)
    assert 0.5 < found["at_least"] < 0.75
    assert found["missing"] == {
        "patterns": [{"name": "ToolError: the tool bad answer", "failures": 30}],
        "groups": [{"name": "experiment=billing", "failures": 30}],
        "durations": [{"name": "≥ 5 s", "failures": 30}],
    }
    text = "\n".join(lines(flat(note)))
    assert "left out: 80 quota of the set" in text and "covers 75.0% of 120 failures" in text
    assert "lacks error patterns: ToolError: the tool bad answer (30)" in " ".join(text.split())


def test_a_record_that_a_person_deleted_covers_nothing(store: Store) -> None:
    counted(store, 0, [failed("t1", "the tool timed out"), failed("t2", "the index is not there")])
    follower(store).step(RULES, 1)
    key = RecordKey("tracesieve_error_case", "d-1", "r")
    deleted = {key: {"t1": RecordSource("t1", T0), **marked(GONE)}}
    Records(store.table("records")).change(deleted)
    found = noted(store, sets(), "tracesieve_error_case", "1", NOW)["coverage"]
    assert (found["failures"], found["share"]) == (2, 0.5)


def test_a_dataset_without_candidates_or_failures_notes_no_coverage(store: Store) -> None:
    counted(store, 0, [failed("t1", rules=["slow"])])
    follower(store).step(RULES, 1)
    assert noted(store, sets(), "tracesieve_slow_response", "1", NOW) == {"left_out": {}, "coverage": None}
    assert noted(store, sets(), "tracesieve_error_case", "1", NOW) == {}
    assert list(lines({})) == []

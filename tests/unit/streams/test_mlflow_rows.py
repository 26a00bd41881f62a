"""A trace as a row, the light hash, and the durations of the config; no server."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import AssessmentSource, Feedback, TraceInfo, TraceLocation, TraceState
from mlflow.entities.assessment import IssueReference
from pydantic import ValidationError

from store import open_store
from streams.sources.landed import LandingTables
from streams.sources.mlflow.known import read_known
from streams.sources.mlflow.rows import end_us, info_row, light_hash
from streams.sources.mlflow.source import MlflowSource


def info(**more: Any) -> TraceInfo:
    values: dict[str, Any] = {
        "trace_id": "tr-1",
        "trace_location": TraceLocation.from_experiment_id("7"),
        "request_time": 1_760_000_000_000,
        "state": TraceState.OK,
        "execution_duration": 1500,
        "tags": {"environment": "prod", "mlflow.traceName": "answer"},
        "trace_metadata": {"mlflow.trace.tokenUsage": '{"input_tokens": 3}'},
        "assessments": [
            Feedback(
                name="ok",
                value={"b": 1, "a": [True]},
                create_time_ms=5,
                last_update_time_ms=6,
                source=AssessmentSource(source_type="HUMAN", source_id="ana"),
            )
        ],
    }
    return TraceInfo(**{**values, **more})


def hashed(**more: Any) -> int:
    return light_hash(info_row(info(**more), None))


def test_sem_01_our_own_tags_do_not_change_the_light_hash() -> None:
    tags = {
        "environment": "prod",
        "mlflow.traceName": "answer",
        "eval_candidate": "x",
        "tracesieve.rules": "a",
    }
    assert hashed(tags={**tags, "tracesieve.category": "x"}) == hashed()
    assert hashed(tags=tags) != hashed()  # a person's own, which landing must see (SEMANTICS 22)
    assert hashed(tags={**tags, "tracesieve.category": "y"}) == hashed(tags=tags)
    assert hashed(tags={**tags, "environment": "staging"}) != hashed()


def test_sem_01_our_own_assessments_are_no_content_of_the_row() -> None:
    own = [
        *info().assessments,
        Feedback(name="tracesieve.slow", value="x", source=AssessmentSource("CODE", "tracesieve")),
        IssueReference("iss-1", "search: no *", source=AssessmentSource("CODE", "tracesieve")),
    ]
    persons = [*own, IssueReference("iss-1", "search: no *", source=AssessmentSource("HUMAN", "ana"))]
    assert hashed(assessments=persons) != hashed()
    assert info_row(info(assessments=own), None) == info_row(info(), None)
    assert hashed(assessments=own) == hashed()


def test_state_duration_metadata_and_feedback_change_the_light_hash() -> None:
    assert (
        len({hashed(), hashed(state=TraceState.ERROR), hashed(execution_duration=1), hashed(assessments=[])})
        == 4
    )
    assert hashed(trace_metadata={}) != hashed()


def test_a_row_read_back_from_the_table_has_the_hash_that_it_had(tmp_path: Any) -> None:
    store = open_store(str(tmp_path))
    row = info_row(info(), "support")
    store.table("traces").append([{**row, "landed_us": 9}])
    known = read_known(store.table("traces"), ["7"], 0)
    assert known.same("tr-1", row)
    assert not known.same("tr-1", info_row(info(assessments=[]), "support"))
    assert LandingTables(store).landed_us == 9
    hour = 1_760_000_000_000_000 // 3_600_000_000 * 3_600_000_000
    assert known.started_in("7", hour, 3_600_000_000) == 1


def test_sem_04_the_end_without_or_with_a_negative_duration_is_the_start() -> None:
    assert end_us(info()) == 1_760_000_001_500_000
    assert end_us(info(execution_duration=None)) == 1_760_000_000_000_000
    assert end_us(info(execution_duration=-5)) == 1_760_000_000_000_000


def test_durations_are_microseconds_and_a_wrong_one_is_told() -> None:
    config = MlflowSource(tracking_uri="http://x", experiments=("a",))
    assert (config.overlap, config.settle, config.amend_for) == (600_000_000, 2_000_000, 86_400_000_000)
    assert config.start_us(100_000_000_000, 0) == 100_000_000_000 - 86_400_000_000
    for wrong in (
        {"overlap": "soon"},
        {"start": "yesterday"},
        {"start": "-x"},
        {"experiments": ()},
        {"nope": 1},
    ):
        with pytest.raises(ValidationError):
            MlflowSource.model_validate({"tracking_uri": "http://x", "experiments": ["a"], **wrong})
    assert MlflowSource.model_validate({"tracking_uri": "http://x", "experiments": [3]}).experiments == ("3",)

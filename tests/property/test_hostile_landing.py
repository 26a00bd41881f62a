"""Traces that nobody means well with, from MLflow's client into the store: each lands, none keeps another
out, and what a later listing shows of it is recognised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Trace
from support import hostile_mlflow, hostile_traces

from store import open_store
from streams.sources.landed import LandingTables
from streams.sources.mlflow.experiment import Experiment
from streams.sources.mlflow.intake import Intake
from streams.sources.mlflow.known import Known, read_known
from streams.sources.mlflow.rows import client_span_count, info_row, light_hash, trace_row

NOW_US = 1_800_000_000_000_000


class Server:
    """A reader whose server has these traces."""

    def __init__(self, *traces: Trace) -> None:
        self.traces = {one.info.trace_id: one for one in traces}

    def fetch(self, infos: list[Any]) -> tuple[list[Any], list[Any]]:
        found = [self.traces[one.trace_id] for one in infos]
        return [one for one in found if one.data.spans], [one.info for one in found if not one.data.spans]


def good() -> Trace:
    from mlflow.entities import Span, TraceData, TraceInfo, TraceLocation
    from mlflow.entities.trace_state import TraceState

    span = {
        "trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==",
        "span_id": "AAAAAAAAAAE=",
        "parent_span_id": None,
        "name": "answer",
        "start_time_unix_nano": NOW_US * 1000,
        "end_time_unix_nano": NOW_US * 1000 + 1,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": '"tr-good"', "mlflow.spanInputs": '{"q": 1}'},
    }
    location = TraceLocation.from_experiment_id("1")
    info = TraceInfo("tr-good", location, NOW_US // 1000, TraceState.OK, execution_duration=5)
    return Trace(info, TraceData(spans=[Span.from_dict(span)]))


@given(hostile_mlflow.traces(), st.booleans())
@hostile_traces.few(25)
def test_a_hostile_trace_lands_and_so_does_the_one_beside_it(
    tmp_path_factory: pytest.TempPathFactory, trace: Trace, first: bool
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    traces = [trace, good()] if first else [good(), trace]
    intake = Intake(Server(*traces), LandingTables(store), Known(), 0, lambda: False)  # type: ignore[arg-type]
    step = intake.begin_pass(last=True)
    experiment = Experiment("1", "support", 0, None)
    infos = [one.info for one in traces]
    intake.land(experiment, infos, 2**63 * 1000, NOW_US)
    finished = trace.info.state.value != "IN_PROGRESS"
    assert step.landed == 1 + finished
    rows = {row: place for place, row in enumerate(store.table("traces").read()["trace_id"])}
    assert set(rows) == {"tr-good", *(["tr-hostile"] if finished else [])}
    # The next listing shows the same: it is known, also to the next process.
    intake.land(experiment, infos, 2**63 * 1000, NOW_US)
    assert intake.step.landed == 1 + finished
    known = read_known(store.table("traces"), ["1"], 0)
    assert known.same("tr-good", info_row(good().info, None))
    row = info_row(trace.info, None)
    if finished and row["request_time"] is not None:
        assert known.same("tr-hostile", row)


@given(hostile_mlflow.infos())
@hostile_traces.few(60)
def test_what_a_listing_shows_has_a_row_and_a_hash(info: Any) -> None:
    row = info_row(info, "support")
    assert light_hash(row) == light_hash(info_row(info, None))
    assert client_span_count(info) >= 0


@pytest.mark.parametrize("number", range(len([*hostile_traces.TEXTS, *hostile_traces.JSON_TEXTS])))
def test_every_listed_text_lands_in_every_place(tmp_path: Path, number: int) -> None:
    from mlflow.entities import Feedback, Span, TraceData, TraceInfo, TraceLocation
    from mlflow.entities.trace_state import TraceState

    text = [*hostile_traces.TEXTS, *hostile_traces.JSON_TEXTS][number]
    part = {
        **good().data.spans[0].to_dict(),
        "name": text,
        "status": {"code": "STATUS_CODE_ERROR", "message": text},
    }
    part["attributes"] = {**part["attributes"], "mlflow.spanInputs": text, text or "empty": text}
    part["events"] = [{"name": text, "time_unix_nano": 1, "attributes": {text: text}}]
    info = TraceInfo(
        "tr-1",
        TraceLocation.from_experiment_id("1"),
        1,
        TraceState.OK,
        text,
        text,
        text,
        1,
        {text: text},
        {text: text},
        [Feedback(name=text, value=text, rationale=text, create_time_ms=1, last_update_time_ms=1)],
    )
    row = trace_row(Trace(info, TraceData(spans=[Span.from_dict(part)])), text)
    store = open_store(str(tmp_path))
    LandingTables(store).append([row])
    (landed,) = store.table("traces").read().to_dicts()
    assert landed["request"] == text
    assert light_hash(landed) == light_hash(row)

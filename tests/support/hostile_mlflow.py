"""Traces that nobody means well with as MLflow's client gives them: what a server can hold."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st
from mlflow.entities import Feedback, Span, Trace, TraceData, TraceInfo, TraceLocation
from mlflow.entities.assessment import AssessmentSource, Expectation
from mlflow.entities.trace_state import TraceState
from support import hostile_traces as hostile

# JSON can write half of a surrogate pair, and so can a server's answer.
texts = st.one_of(hostile.texts, st.sampled_from([hostile.SURROGATE, "\udfff"]), st.text(max_size=5))
_values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
_NS = st.one_of(st.integers(1, 2**64 - 1), st.integers(1, 2**63).map(lambda one: one * 1000))
_MS = st.one_of(
    st.sampled_from([one // 1000 for one in [*hostile.FAR, *hostile.DATES]]), st.integers(-(2**63), 2**63)
)
_KEYS = ["mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType", "exception.message"]


def _attributes() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.one_of(st.sampled_from(_KEYS), texts), st.one_of(hostile.json_texts, texts, _values), max_size=4
    )


def _encoded(size: int) -> st.SearchStrategy[str]:
    return st.integers(1, 3).map(lambda one: base64.b64encode(one.to_bytes(size, "big")).decode())


def _span(parts: dict[str, Any]) -> Span:
    parts["attributes"] = {**parts["attributes"], "mlflow.traceRequestId": '"tr-1"'}
    return Span.from_dict(parts)


spans = st.fixed_dictionaries(
    {
        "trace_id": _encoded(16),
        "span_id": _encoded(8),
        "parent_span_id": st.one_of(st.none(), _encoded(8)),  # of itself, in circles, of nobody
        "name": texts,
        "start_time_unix_nano": _NS,
        "end_time_unix_nano": st.one_of(st.none(), _NS),
        "status": st.fixed_dictionaries(
            {
                "code": st.sampled_from(["STATUS_CODE_OK", "STATUS_CODE_ERROR", "STATUS_CODE_UNSET"]),
                "message": texts,
            }
        ),
        "attributes": _attributes(),
        "events": st.lists(
            st.fixed_dictionaries({"name": texts, "time_unix_nano": _NS, "attributes": _attributes()}),
            max_size=2,
        ),
    }
).map(_span)

_source = st.builds(lambda one: AssessmentSource("HUMAN", one), texts)
_assessments = st.one_of(
    st.builds(
        lambda name, value, at, source, rationale: Feedback(
            name=name,
            value=value,
            source=source,
            rationale=rationale,
            create_time_ms=at,
            last_update_time_ms=at,
        ),
        texts,
        _values,
        _MS,
        _source,
        st.one_of(st.none(), texts),
    ),
    st.builds(
        lambda value, at: Expectation(name="e", value=value, create_time_ms=at, last_update_time_ms=at),
        _values.filter(lambda one: one is not None),
        _MS,
    ),
)


def infos(request_time: st.SearchStrategy[int] = _MS) -> st.SearchStrategy[TraceInfo]:
    """What a listing shows of a trace."""
    return st.builds(
        TraceInfo,
        trace_id=st.just("tr-hostile"),
        trace_location=st.just(TraceLocation.from_experiment_id("1")),
        request_time=request_time,
        state=st.sampled_from(list(TraceState)),
        request_preview=st.one_of(st.none(), texts),
        response_preview=st.one_of(st.none(), texts),
        client_request_id=st.one_of(st.none(), texts),
        execution_duration=st.one_of(st.none(), _MS),
        trace_metadata=st.dictionaries(texts, st.one_of(hostile.json_texts, texts), max_size=3),
        tags=st.dictionaries(texts, texts, max_size=3),
        assessments=st.lists(_assessments, max_size=2),
    )


def traces() -> st.SearchStrategy[Trace]:
    """A whole trace."""
    few_spans = st.lists(spans, max_size=4)
    return st.builds(lambda info, found: Trace(info, TraceData(spans=found)), infos(), few_spans)

"""The failure of a trace: which span it began in."""

import datetime as dt
import json
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trace_rows import T0, traces

from rules.failures import failure_columns, failures
from rules.matcher import raw_table
from rules.matcher.batch import Batch


def span(name, parent=None, end_ms=100, status="OK", message=None, exception=None, kind="TOOL"):
    events = []
    if exception is not None:
        error_type, text = exception
        attributes = [("exception.type", error_type), ("exception.message", text)]
        events = [{"name": "exception", "attributes": [(k, x) for k, x in attributes if x is not None]}]
    return {
        "span_id": name,
        "name": f"{name} name",
        "parent_id": parent,
        "status_code": status,
        "status_message": message,
        "attributes": [("mlflow.spanType", f'"{kind}"')],
        "start_time": T0,
        "end_time": T0 + dt.timedelta(milliseconds=end_ms),
        "events": events,
    }


def found(*rows):
    column = failures(Batch(raw_table(traces(*rows), failure_columns))).to_pylist()
    return [one and json.loads(one) for one in column]


def failed_in(*spans, state="ERROR"):
    (one,) = found({"state": state, "spans": list(spans)})
    return one and one["span_name"].removesuffix(" name")


def test_a_trace_without_a_failure_has_none():
    assert found({"state": "OK", "spans": [span("root")]}, {"state": "OK"}) == [None, None]


def test_a_trace_that_failed_without_a_failed_span_says_so():
    (one,) = found({"state": "ERROR", "spans": [span("root")]})
    assert (one["span_name"], one["message"], one["handled"]) == (None, "", False)
    assert len(one["pattern"]) == 16


def test_spans_that_pass_a_failure_on_are_left_out():
    message = "Connection refused"
    assert (
        failed_in(
            span("root", None, 100, "ERROR", f"agent failed: {message}"),
            span("chain", "root", 90, "ERROR"),
            span("tool", "chain", 80, "ERROR", message),
        )
        == "tool"
    )


def test_a_failure_of_its_own_that_follows_one_that_was_handled():
    spans = [
        span("root", None, 100, "ERROR", "no answer after 10 steps"),
        span("step", "root", 50, "OK"),
        span("tool", "step", 40, "ERROR", "Connection refused"),
    ]
    assert failed_in(*spans) == "root"


def test_of_several_that_reached_the_root_it_is_the_first():
    spans = [
        span("root", None, 100, "ERROR", "failed"),
        span("b", "root", 60, "ERROR", "second"),
        span("a", "root", 50, "ERROR", "first"),
    ]
    assert failed_in(*spans) == "a"


def test_a_failure_in_a_trace_that_ended_well_is_handled():
    (one,) = found(
        {
            "state": "OK",
            "spans": [span("root"), span("tool", "root", 50, "STATUS_CODE_ERROR", "TimeoutError: slow")],
        }
    )
    assert one["handled"] is True
    assert (one["span_type"], one["error_type"]) == ("TOOL", "TimeoutError")


def test_an_exception_event_is_a_failure_whatever_the_status():
    spans = [span("root"), span("tool", "root", 50, "OK", exception=("openai.RateLimitError", "slow down"))]
    (one,) = found({"state": "OK", "spans": spans})
    assert (one["error_type"], one["message"]) == ("openai.RateLimitError", "slow down")


def test_an_exceptions_message_is_preferred_to_the_status():
    (one,) = found({"spans": [span("x", None, 5, "ERROR", "ERROR", exception=("ValueError", "bad input"))]})
    assert one["message"] == "bad input"


def test_alike_failures_have_one_pattern():
    one, other, third = found(
        *[
            {"state": "ERROR", "spans": [span("x", None, 5, "ERROR", text)]}
            for text in ("no user 12", "no user 9123", "no order 5")
        ]
    )
    assert one["pattern"] == other["pattern"] != third["pattern"]


@pytest.mark.parametrize(
    "spans",
    [
        [span("a", "b", 5, "ERROR", "x"), span("b", "a", 6, "ERROR", "y")],
        [span("a", "a", 5, "ERROR", "x")],
        [span("a", "nowhere", 5, "ERROR", "x"), span("a", None, 4, "ERROR", "x")],
        [span(None, None, 5, "ERROR", "x"), span(None, None, 5, "ERROR", None)],
        [{**span("a", None, 5, "ERROR", "x" * 10_000_0), "end_time": None, "name": None}],
    ],
)
def test_cycles_missing_ids_and_long_messages_harm_nothing(spans):
    with_it = found(
        {"state": "ERROR", "spans": spans}, {"state": "OK", "spans": [span("t", None, 5, "ERROR", "m")]}
    )
    assert with_it[0] is not None
    assert len(with_it[0]["message"]) <= 500
    assert with_it[1:] == found({"state": "OK", "spans": [span("t", None, 5, "ERROR", "m")]})


MANY = st.lists(
    st.tuples(
        st.sampled_from(["OK", "ERROR"]),
        st.sampled_from([None, "", "a", "b", "a because of b"]),
        st.integers(0, 3),
        st.integers(-1, 6),
    ),
    max_size=7,
)


@given(MANY, st.sampled_from(["OK", "ERROR"]), st.integers(0, 100))
def test_the_order_of_spans_does_not_matter(drawn, state, seed):
    spans = [
        span(f"s{place}", f"s{parent}" if parent >= 0 else None, end, status, message)
        for place, (status, message, end, parent) in enumerate(drawn)
    ]
    shuffled = random.Random(seed).sample(spans, len(spans))
    assert found({"state": state, "spans": spans}) == found({"state": state, "spans": shuffled})


def test_a_batch_of_none():
    assert failures(Batch(raw_table(traces(), failure_columns))).type == pa.string()

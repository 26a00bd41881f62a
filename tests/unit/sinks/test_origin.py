"""Why a record is there: tags of the failure, the place and the times, whatever a trace holds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_facts import T0, fact

from sinks.errors import Refused
from sinks.mlflow.case import Case, Cases
from sinks.mlflow.expectations import Attached
from sinks.mlflow.origin import (
    ERROR,
    FAILED_SPAN,
    MESSAGE,
    PATTERN,
    TRACES,
    failures_of,
    one_line,
    origin_of,
    seen,
)
from sinks.mlflow.records import RecordSource
from sinks.mlflow.redaction import Door, RedactionConfig
from store import open_store

FAILURE = {
    "span_type": "TOOL",
    "span_name": "search_documents",
    "error_type": "TimeoutError",
    "message": "no answer for bob@example.com after 30 s",
    "pattern": "0123456789abcdef",
    "handled": False,
}


def test_the_failure_is_named_by_span_error_pattern_and_message() -> None:
    tags = origin_of(FAILURE, {"tags.environment": "production", "metadata.mlflow.trace.session": "s-1"})
    assert tags == {
        FAILED_SPAN: "search_documents (TOOL)",
        ERROR: "TimeoutError",
        PATTERN: "no answer for * after * s",
        MESSAGE: "no answer for bob@example.com after 30 s",
        "tracesieve.environment": "production",
        "tracesieve.release": "",
        "tracesieve.session": "s-1",
    }
    assert origin_of({**FAILURE, "handled": True}, {})[FAILED_SPAN] == "search_documents (TOOL), handled"
    assert set(origin_of(None, {}).values()) == {""}
    assert set(origin_of(None, {})) == set(tags)


@pytest.mark.parametrize(
    ("labels", "release"),
    [
        ({"tags.release": "1.4", "tags.version": "2", "metadata.mlflow.modelId": "m-1"}, "1.4"),
        ({"tags.version": "2", "metadata.mlflow.modelId": "m-1"}, "2"),
        ({"metadata.mlflow.source.git.commit": "abc", "metadata.mlflow.modelId": "m-1"}, "m-1"),
        ({"metadata.mlflow.source.git.commit": "abc"}, "abc"),
    ],
)
def test_a_release_is_the_first_label_that_names_one(labels: dict[str, str], release: str) -> None:
    assert origin_of(None, labels)["tracesieve.release"] == release


@given(st.text(st.characters(codec=None), max_size=700))
def test_any_text_is_one_bounded_line_that_a_database_takes(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 502
    line.encode()
    assert line == " ".join(line.split())
    assert "\x1b" not in line
    assert "\u202e" not in line


@pytest.mark.parametrize("last", ["bob@example.com", "4111 1111 1111 1111", "+49 30 901820", "hunter2" * 80])
def test_half_an_address_at_the_end_is_cut_off(last: str) -> None:
    for cut in range(1, len(last)):
        text = ("word " * 200)[: 500 - cut] + last[:cut]
        assert one_line(text).rstrip(" …") == one_line(text).rstrip(" …").strip()
        assert last[: min(cut, 3)] not in one_line(text).replace("word", "")


def test_times_and_ids_of_the_last_traces_in_any_order() -> None:
    sources = [RecordSource(f"t{number}", T0 + number * 1_000_000) for number in range(7)]
    (one,) = {
        tuple(seen({source.trace_id: source for source in some}).items())
        for some in itertools.islice(itertools.permutations(sources), 0, 5040, 97)
    }
    assert dict(one) == {
        TRACES: "7: t6, t5, t4, t3, t2, …",
        "tracesieve.first_seen": "2027-01-15 08:00:00 UTC",
        "tracesieve.last_seen": "2027-01-15 08:00:06 UTC",
    }
    assert seen({"a": RecordSource("a", 10**18)})["tracesieve.last_seen"] == "9999-12-31 23:59:59 UTC"


class Contents:
    """What the trace table would say."""

    def contents(self, starts_us: Any) -> dict[str, tuple[str | None, str | None]]:
        return {trace: ('{"q": "mail bob@example.com"}', '"done"') for trace in starts_us if trace != "gone"}

    def labels(self, starts_us: Any) -> dict[str, dict[str, str]]:
        return {trace: {"metadata.mlflow.trace.session": "session of bob@example.com"} for trace in starts_us}


def test_the_failure_that_stands_is_read_from_facts_and_redacted_with_the_record(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = fact("a", 1, failure=json.dumps({**FAILURE, "message": "old"}))
    new = fact("a", 1, failure=json.dumps(FAILURE), content_hash=2, change_us=T0 + 99)
    store.table("facts").append([old, {**old, "weight": -1}, new, fact("b", 2), fact("gone", 1)])
    ends = {"a": old["end_us"], "b": fact("b", 2)["end_us"]}
    assert failures_of(store, ends) == {"a": FAILURE}
    assert failures_of(store, {}) == {}
    door = Door(RedactionConfig())
    cases = Cases(Contents(), store, door, Attached({}, door))
    found = cases.of((trace, end, end) for trace, end in [*ends.items(), ("gone", 1)])
    assert isinstance(found["a"], Case)
    assert found["a"].inputs == {"q": "mail [EMAIL_1]"}
    assert found["a"].origin[MESSAGE] == "no answer for [EMAIL_1] after 30 s"
    assert found["a"].origin["tracesieve.session"] == "session of [EMAIL_1]"
    assert isinstance(found["b"], Case)
    assert found["b"].origin[MESSAGE] == ""
    assert isinstance(found["gone"], Refused)

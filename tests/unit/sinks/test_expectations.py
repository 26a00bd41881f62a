"""Expectations that the config attaches: which are ours, which a record is to get, what redaction does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sinks.mlflow.case import case_of
from sinks.mlflow.dataset_server import ListedRecord, digest
from sinks.mlflow.expectations import EXPECTATIONS, Attached, lacking, ours, put_together, tag_of, theirs
from sinks.mlflow.provenance import OUTPUT, edited
from sinks.mlflow.redaction import Door, RedactionConfig


def listed(expectations: Mapping[str, Any], written: Mapping[str, Any], **tags: str) -> ListedRecord:
    """A record with expectations, of which we wrote some."""
    noted = {OUTPUT: digest("a"), **tag_of(written), **tags}
    return ListedRecord({"q": 1}, "a", dict(expectations), noted)


def test_what_we_wrote_makes_no_record_a_persons_and_what_a_person_changed_does() -> None:
    wrote = {"guidelines": ["be kind"], "expected_response": "yes"}
    assert not edited(listed(wrote, wrote))
    changed = listed({**wrote, "expected_response": "no"}, wrote)
    assert (ours(changed), theirs(changed)) == ({"guidelines": ["be kind"]}, {"expected_response": "no"})
    assert edited(changed)
    assert edited(listed({**wrote, "answer": 4}, wrote))
    assert edited(listed({"answer": 4}, {}))


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", '{"a": 1}', "[" * 100_000])
def test_a_tag_that_a_person_spoilt_makes_everything_theirs(text: str) -> None:
    record = listed({"a": 1}, {}, **{EXPECTATIONS: text})
    assert (ours(record), theirs(record)) == ({}, {"a": 1})


def test_a_record_gets_what_it_lacks_and_newer_values_of_ours_and_a_persons_stays() -> None:
    wanted = {"a": 1, "b": [2], "c": {"x": 3}}
    assert lacking(wanted, None) == wanted
    assert lacking(wanted, listed(wanted, wanted)) == {}
    present = listed({"a": 0, "b": ["theirs"]}, {"a": 0, "b": ["ours"]})
    assert lacking(wanted, present) == {"a": 1, "c": {"x": 3}}
    assert lacking({"a": True}, listed({"a": 1}, {"a": 1})) == {"a": True}
    tags = tag_of({"a": 1}, present)
    assert json.loads(tags[EXPECTATIONS]) == {"a": digest(1), "b": digest(["ours"])}
    assert tag_of({}, present) == {}


@pytest.mark.parametrize(
    ("there", "there_ours", "other_ours", "value", "is_ours"),
    [
        (1, True, True, 1, True),
        (1, True, False, 2, False),
        (1, False, True, 1, False),
        (1, False, False, 1, False),
    ],
)
def test_of_two_records_that_become_one_a_persons_value_wins(
    there: int, there_ours: bool, other_ours: bool, value: int, is_ours: bool
) -> None:
    row = {"expectations": {"a": there}, "tags": tag_of({"a": there}) if there_ours else {}}
    put_together(row, {"a": 2, "b": 3}, {"a": 2} if other_ours else {})
    assert row["expectations"] == {"a": value, "b": 3}
    record = ListedRecord({}, None, row["expectations"], row["tags"])
    assert ("a" in ours(record), "b" in ours(record)) == (is_ours, False)


def test_redaction_gives_a_value_one_token_in_the_record_and_its_expectations() -> None:
    door = Door(RedactionConfig())
    wanted = {"expected_response": "write to bob@example.com or amy@example.com"}
    attached = Attached({"s": wanted, "plain": {"guidelines": ["short"]}}, door)
    assert (attached.is_redacted("s"), attached.is_redacted("plain"), attached.is_redacted("no")) == (
        True,
        False,
        False,
    )
    case = case_of(door, ('{"q": "I am amy@example.com"}', '"x"'), {}, attached)
    assert (case.inputs, case.found) == ({"q": "I am [EMAIL_1]"}, "EMAIL 1")
    assert list(case.attached) == ["s"]
    assert case.attached["s"].values[-1] == {"expected_response": "write to [EMAIL_2] or [EMAIL_1]"}
    assert case.attached["s"].found == "EMAIL 2"
    assert not Attached({"s": wanted}, Door(False)).is_redacted("s")

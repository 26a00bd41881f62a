"""Outputs of any kind in one dataset: what is sent, by what the dataset's schema says of its outputs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sinks.mlflow.answers import MIXED, fitting, opened, schema_of_outputs


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {}),
        ("", {}),
        ("{", {}),
        ("[]", {}),
        ('{"outputs": {}}', {}),
        ('{"outputs": null}', {}),
        ('{"outputs": "string"}', "string"),
        ('{"outputs": {"a": "integer"}}', {"a": "integer"}),
    ],
)
def test_the_schema_of_outputs(schema: str | None, expected: Any) -> None:
    assert schema_of_outputs(schema) == expected


@pytest.mark.parametrize("output", ["text", {"a": "ü"}, {}, [1], 1, None, True])
def test_only_an_object_is_changed_and_only_where_outputs_began_as_another_kind(output: Any) -> None:
    assert fitting(output, {}) == fitting(output, {"a": "integer"}) == output
    kept = fitting(output, "string")
    if isinstance(output, dict):
        assert isinstance(kept, str)
        assert json.loads(kept) == output
    else:
        assert kept == output


def test_the_first_write_names_an_object_first_and_only_the_first() -> None:
    ours = {"inputs": {"q": 1}, "outputs": "text", "tags": {"a": "b"}}
    provenance = {"inputs": {"q": 2}, "tags": {}}
    assert opened([provenance, ours], {}) == [{**ours, "outputs": {MIXED: None}}, provenance, ours]
    assert opened([provenance], {}) == [provenance]  # it must not lose the output that it has
    assert opened([ours], "string") == opened([ours], {MIXED: "null"}) == [ours]

"""Which expectations a config can attach to the records of a set."""

from __future__ import annotations

from typing import Any, Final

from sinks.mlflow.provenance import is_storable

# What MLflow's own scorers read, as they read it.
_TEXT, _TEXTS = "a text is expected", "a list of texts is expected"
_OF_ONE_RECORD: Final = {"is_failure": "is what a person says of one record, not of a set"}


def fault(name: str, value: Any) -> str:
    """What is wrong with an expectation; empty if nothing is."""
    if not name.strip():
        return "a name is expected"
    if name in _OF_ONE_RECORD:
        return _OF_ONE_RECORD[name]
    if value is None:
        return "is empty: give it a value, or leave it out"
    if name == "expected_response" and not isinstance(value, str):
        return _TEXT
    if name == "expected_facts" and not _are_texts(value):
        return _TEXTS
    if name == "guidelines" and not (isinstance(value, str) or _are_texts(value)):
        return f"{_TEXTS}, or one text"
    return "" if _is_json(value) else "is no JSON: a date is written in quotes, and numbers are finite"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _is_json(value: Any) -> bool:
    """Whether a value comes back from a server as it is here."""
    return is_storable(value) and _has_json_types(value)


def _has_json_types(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_json_types(one) for key, one in value.items())
    if isinstance(value, list):
        return all(_has_json_types(one) for one in value)
    return value is None or isinstance(value, str | bool | int | float)

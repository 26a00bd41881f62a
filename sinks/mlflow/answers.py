"""Answers of any kind in one dataset: texts, objects, lists, numbers, none.

MLflow infers a schema for the outputs of a whole dataset.  Once its first output was a text, a number or a
list, its SQL store (3.17) fails with a 500 at the first object.  Once one was an object, it takes any kind.
So our first write to a dataset names an object first, in the same request and for the same record, which then
gets its real output.  Where outputs began as texts, an object is written as JSON text: what those who score
that dataset already read.  (docs/decisions/mixed-answers.md)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

MIXED = "tracesieve.mixed"  # the only trace of it: a name in the dataset's schema


def schema_of_outputs(schema: str | None) -> Any:
    """What a dataset's schema says of its outputs: types by key, or one type; empty where it says nothing."""
    try:
        found = json.loads(schema or "{}")
    except ValueError:
        return {}
    return found.get("outputs") or {} if isinstance(found, dict) else {}


def fitting(output: Any, of_outputs: Any) -> Any:
    """An output as a dataset with that schema of its outputs can take it."""
    if isinstance(output, dict) and not isinstance(of_outputs, dict):
        return json.dumps(output, ensure_ascii=False)
    return output


def opened(records: Sequence[dict[str, Any]], of_outputs: Any) -> list[dict[str, Any]]:
    """The records of one request, such that the dataset takes any kind of output from then on."""
    first = next((one for one in records if "outputs" in one), None)
    if of_outputs or first is None:
        return list(records)
    return [{**first, "outputs": {MIXED: None}}, *records]

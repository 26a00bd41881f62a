"""What is wrong with the times in a document of ``--json``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from tracesieve.json_output import TIME_KEYS

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_DURATIONS = {"duration_us"}
# Keys of an earlier version, and the key that stands beside each.
FORMER = {
    "starts_us": "starts",
    "resolved_us": "ends",
    "start_us": "starts",
    "end_us": "ends",
    "created_us": "created",
    "oldest_us": "oldest",
    "newest_us": "newest",
    "oldest_waiting_us": "oldest",
    "batch_us": "batch_began",
    "checked_us": "checked",
    "verdicts_through_us": "verdicts_through",
}
_FREE = {"group", "candidates", "values", "config", "tags"}  # their keys are the user's own


def wrong_times(document: Any, place: str = "") -> list[str]:
    """A line for each time that is not written as :mod:`tracesieve.json_output` says."""
    return list(_wrong(document, place))


def _wrong(found: Any, place: str) -> Iterator[str]:
    if isinstance(found, list):
        for number, one in enumerate(found):
            yield from _wrong(one, f"{place}[{number}]")
    elif isinstance(found, dict):
        for key, value in found.items():
            if key not in _FREE:
                yield from _wrong_value(found, key, value, f"{place}.{key}")


def _wrong_value(row: dict[str, Any], key: str, value: Any, place: str) -> Iterator[str]:
    if key in TIME_KEYS:
        if value is not None and not (isinstance(value, str) and ISO.fullmatch(value)):
            yield f"{place}: {value!r} is no time in ISO 8601"
    elif key in FORMER:
        if FORMER[key] not in row or (row[FORMER[key]] is None) != (value is None):
            yield f"{place}: {FORMER[key]} does not stand beside it"
    elif key.endswith("_us") and key not in _DURATIONS:
        yield f"{place}: an unknown key of microseconds"
    elif isinstance(value, str) and _LIKE_A_TIME.fullmatch(value):
        yield f"{place}: {value!r} is a time, and its key is not in TIME_KEYS"
    elif isinstance(value, int | float) and not isinstance(value, bool) and "bytes" not in key:
        for unit, size in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
            if abs(value / size - time.time()) < 1000 * 86400:
                yield f"{place}: {value!r} looks like a time in {unit}"
    yield from _wrong(value, place)

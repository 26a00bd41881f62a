"""What ``--json`` prints: one document, whose times are all written alike.

A time is ISO 8601 in UTC with microseconds, ``2026-11-20T08:00:00.000000Z``, so that times sort as texts. Its
key is one of :data:`TIME_KEYS`, the same in every command, and null where there is no such time. Keys in
``_us`` that hold a time are of an earlier version and will go; durations and amounts have their unit in the
key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click

from rules.units import iso_time

TIME_KEYS = {
    "from": "the beginning of a range of time",
    "to": "its end, not in it",
    "starts": "when an alert, a mute or a trace begins",
    "ends": "when it ends",
    "final_through": "the end time up to which everything has been counted",
    "created": "when a message was put into the outbox",
    "tried": "when a delivery was tried, or given up",
    "oldest": "of the oldest row or message",
    "newest": "of the newest row",
    "batch_began": "when the last batch began",
    "verdicts_through": "the last instant for which window rules were evaluated",
    "checked": "when doctor looked",
    "evaluated": "when scorers judged a version of a dataset",
    "first_seen": "the end of the first trace with an error pattern, as far as facts reach back",
    "last_seen": "the end of the last one in the range",
    "taken": "when a version of a dataset was taken",
}


def iso(time_us: int | None) -> str | None:
    """A time as every ``--json`` writes it; null for none."""
    return None if time_us is None else iso_time(time_us, "microseconds")


def with_times(row: Mapping[str, Any], **times: str) -> dict[str, Any]:
    """The row, and its times by their keys: ``with_times(row, starts="start_us")``."""
    return {**row, **{key: iso(row[name]) for key, name in times.items()}}


def echo_json(document: Mapping[str, Any], indent: int | None = None) -> None:
    """Print the document, and nothing else; a number that JSON does not have (NaN, infinity) as null."""
    try:
        text = json.dumps(document, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(document), indent=indent, allow_nan=False)
    click.echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

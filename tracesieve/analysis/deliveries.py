"""Deliveries that wait or were refused, as a person knows them: by the trace, or the rule and its group."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sinks.base import MessageKind
from sinks.registry import class_of
from store import Store
from store.outbox import Outbox
from tracesieve.json_output import iso, with_times

STATES = {"dead": "refused", "dropped": "dropped"}  # all other outcomes wait
_OF_TRACE = {
    MessageKind.TAGS: "tags of",
    MessageKind.FINDINGS: "assessments of",
    MessageKind.MEMBERSHIP: "records of",
}


def listed(store: Store) -> list[dict[str, Any]]:
    """Every delivery that is neither made nor overtaken, the oldest first, as plain JSON data.

    ``number`` is its place in the outbox, ``state`` waiting, refused or dropped, ``detail`` the reason.
    Either ``trace_id`` or ``rule`` and ``group`` say what it is about; all are null where that is not known.
    """
    return [_as_json(row) for row in Outbox(store).rows()]


def names(row: Mapping[str, Any], wanted: Collection[str]) -> set[str]:
    """Those of ``wanted`` that name a delivery: its number, its key, its trace or its rule."""
    own = {str(row["number"]), row["key"], row["trace_id"], row["rule"]}
    return own & set(wanted)


def subject(row: Mapping[str, Any]) -> str:
    """What a delivery is about, for a person."""
    sink = class_of(row["sink"])
    if row["trace_id"] is not None:
        return f"{_OF_TRACE.get(sink.consumes, 'trace') if sink else 'trace'} {row['trace_id']}"
    if row["rule"] is not None:
        group = " ".join(
            f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in row["group"].items()
        )
        return " ".join(filter(None, ["alert", row["rule"], row["status"], group]))
    if sink is not None and sink.consumes is MessageKind.PATTERN:
        experiment_id, _, pattern = row["target"].rpartition("/")
        return f"issue of pattern {pattern} in experiment {experiment_id or '-'}"
    return str(row["target"])


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(row["payload"] or "{}")
    delivery = {
        "number": row["seq"],
        "key": row["key"],
        "sink": row["sink"],
        "target": row["target"],
        "state": STATES.get(row["outcome"], "waiting"),
        "outcome": row["outcome"],
        "detail": row["detail"],
        "trace_id": payload.get("trace_id"),
        "rule": payload.get("rule"),
        "group": payload.get("group") or {},
        "status": payload.get("status"),
        "created_us": row["created_us"],
        "tried": iso(row["at_us"]),
    }
    return with_times(delivery, created="created_us")

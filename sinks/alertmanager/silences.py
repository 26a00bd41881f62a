"""Silences of one Alertmanager that mute a rule, or one group of it, over its API v2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.units import iso_time
from sinks.errors import Refused
from sinks.shown import Mute

OURS = "tracesieve"  # as the creator of a silence
_RULE = "alertname"
Call = Callable[..., Any]  # method, path, body: the answer's JSON


def add(call: Call, rule: str, group: Mapping[str, str], from_us: int, until_us: int) -> None:
    """Silence the alerts of a rule, or of one group of it, during that time.

    Raises:
        RetryLater, Refused: it did not take it.
    """
    wanted = {_RULE: rule, **group}
    words = " ".join(["tracesieve alerts mute", rule, *(f"--group {key}={group[key]}" for key in group)])
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in wanted.items()
    ]
    times = {"startsAt": iso_time(from_us, "auto"), "endsAt": iso_time(until_us, "auto")}
    call("POST", "silences", {"matchers": matchers, **times, "createdBy": OURS, "comment": words})


def listed(call: Call, place: str) -> list[Mute]:
    """The silences that name one rule, whoever made them, and have not ended.

    Raises:
        RetryLater, Refused: it did not answer, or with something else.
    """
    answer = call("GET", "silences", None)
    try:
        found = [_mute(one, place) for one in answer if one["status"]["state"] != "expired"]
    except (TypeError, KeyError, ValueError) as error:
        raise Refused("its answer is not that of an Alertmanager") from error
    return [one for one in found if one is not None]


def end(call: Call, mute: Mute) -> None:
    """End a silence now.

    Raises:
        RetryLater, Refused: it did not take it.
    """
    call("DELETE", f"silence/{mute.key}", None)


def _mute(silence: Mapping[str, Any], place: str) -> Mute | None:
    """A silence as the mute of a rule; None where it is of something else, such as a pattern."""
    matchers = silence["matchers"]
    plain = {
        str(one["name"]): str(one["value"])
        for one in matchers
        if not one["isRegex"] and one.get("isEqual", True)
    }
    if _RULE not in plain or len(plain) != len(matchers):
        return None
    return Mute(
        place=place,
        key=str(silence["id"]),
        rule=plain.pop(_RULE),
        group=plain,
        from_us=_us(silence["startsAt"]),
        until_us=_us(silence["endsAt"]),
        by=str(silence["createdBy"]),
        comment=str(silence.get("comment", "")),
        ours=silence["createdBy"] == OURS,
    )


def _us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

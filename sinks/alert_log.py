"""At least once, twice only after a kill between the two: a line in the program's own log for each firing and
resolution.

It goes through the outbox as every delivery does, so that a restart repeats no line and a crash loses none.
With ``log: {format: json}`` the line has the fields ``status, rule, severity, group, value, evidence,
episode, paged``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Self

from sinks.base import MessageKind, Outcome, Payload, Sink, SinkConfig, SinkContext
from store.outbox import PendingMessage

log = logging.getLogger("tracesieve.alerts")
_FIELDS = ("status", "rule", "severity", "group", "value", "evidence", "episode", "paged")


class AlertLog(Sink):
    """Logs every notification, also in a dry run."""

    name = "alert_log"
    consumes = MessageKind.NOTIFICATION
    outside = False

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """Always one."""
        return [cls.name]

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self:
        """It needs nothing."""
        return cls()

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Log the alerts in the order in which they were written to the outbox."""
        for message in sorted(messages, key=lambda one: one.seq):
            payload = message.payload
            log.warning("%s", line(payload), extra={"fields": {name: payload.get(name) for name in _FIELDS}})
        return [Outcome(message) for message in messages]


def line(payload: Payload) -> str:
    """What a person reads; a group's values, which come from traces, are quoted and can start no line of
    their own.
    """
    group = " ".join(f"{key}={json.dumps(value)}" for key, value in payload["group"].items())
    unpaged = "a dry run pages nobody" if payload.get("dry_run") else "too old to page anyone"
    old = "" if payload.get("paged", True) else f" ({unpaged})"
    head = " ".join(
        filter(None, [payload["status"].upper(), payload["rule"], f"({payload['severity']})", group])
    )
    text = f"{head}: {payload['summary']}{old}"
    evidence = ", ".join(json.dumps(one) for one in payload["evidence"][:3])
    return f"{text}; see {evidence}" if evidence and payload["status"] == "firing" else text

"""Exactly-once in effect: alerts to Alertmanager's API v2, which knows an alert by its labels; posting again changes nothing.

A firing alert is posted again every minute with an ``endsAt`` four minutes of wall-clock time ahead, so that it outlives
missed posts but not us; a resolved one carries the time at which it was resolved, and is posted again for five minutes
(Prometheus's own client does the same), so that an instance that had restarted hears of it too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from sinks.errors import Refused, RetryLater
from store.outbox import Pending

RESEND_S = 60.0
RESOLVED_US = 300_000_000
AHEAD_US = 240_000_000
TIMEOUT_S = 10.0


class AlertmanagerConfig(BaseModel):
    """One instance; secrets are named, never written: ``token_env`` and ``password_env`` are environment variables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    username: str | None = None
    password_env: str | None = None
    token_env: str | None = None
    ca_file: str | None = None


def _wall_us() -> int:
    return time.time_ns() // 1000


class Alertmanager:
    """Posts to every instance: all must have taken an alert for it to count as delivered."""

    name = "alertmanager"

    def __init__(self, instances: Sequence[AlertmanagerConfig], clock: Callable[[], int] = _wall_us) -> None:
        self._instances = tuple(instances)
        self._resolved: dict[str, tuple[int, dict[str, Any]]] = {}
        self._sent_us: dict[str, int] = {}
        self._clock = clock

    def deliver(self, wish: Pending) -> str:
        """Post one alert, firing or resolved."""
        self._post([self._alert(wish.payload)])
        self._sent_us[wish.target] = self._clock()
        if wish.payload["status"] == "resolved":
            self._resolved[wish.target] = (self._clock() + RESOLVED_US, wish.payload)
        else:
            self._resolved.pop(wish.target, None)
        return ""

    def resend(self, firing: dict[str, dict[str, Any]]) -> None:
        """Post again what still fires (payloads by target) or was resolved of late, and was last posted a minute ago or more.

        Raises:
            RetryLater: an instance did not take it.
        """
        now = self._clock()
        self._resolved = {t: (until, p) for t, (until, p) in self._resolved.items() if now < until and t not in firing}
        known = {**{target: payload for target, (_, payload) in self._resolved.items()}, **firing}
        due = [t for t in known if now - self._sent_us.get(t, 0) >= RESEND_S * 1e6]
        if due:
            self._post([self._alert(known[target]) for target in due])
            self._sent_us.update(dict.fromkeys(due, self._clock()))

    def _alert(self, payload: dict[str, Any]) -> dict[str, Any]:
        ends = payload["resolved_us"] if payload["status"] == "resolved" else self._clock() + AHEAD_US
        labels = {"alertname": payload["rule"], "severity": payload["severity"], **payload["group"]}
        annotations = {
            "summary": payload["summary"],
            "condition": payload["condition"],
            "value": "" if payload["value"] is None else f"{payload['value']:.6g}",
            "evidence": ",".join(payload["evidence"]),
            "episode": payload["episode"],
        }
        return {
            "labels": {key: value for key, value in labels.items() if value},
            "annotations": annotations,
            "startsAt": _iso(payload["starts_us"]),
            "endsAt": _iso(ends),
        }

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        refused: list[str] = []
        down: list[str] = []
        for instance in self._instances:
            try:
                answer = requests.post(f"{instance.url.rstrip('/')}/api/v2/alerts", json=alerts, timeout=TIMEOUT_S,
                                       **_access(instance))  # fmt: skip
            except requests.RequestException as error:
                down.append(f"{instance.url}: {type(error).__name__}")
                continue
            if answer.status_code >= 500 or answer.status_code in (401, 403, 408, 429):
                down.append(f"{instance.url}: HTTP {answer.status_code}")
            elif answer.status_code >= 400:
                refused.append(f"{instance.url}: HTTP {answer.status_code}")
        if down:
            raise RetryLater("Alertmanager " + "; ".join(down))
        if refused:
            raise Refused("Alertmanager " + "; ".join(refused))


def _access(instance: AlertmanagerConfig) -> dict[str, Any]:
    extra: dict[str, Any] = {"verify": instance.ca_file or True}
    if instance.token_env:
        extra["headers"] = {"Authorization": f"Bearer {os.environ.get(instance.token_env, '')}"}
    elif instance.username:
        extra["auth"] = (instance.username, os.environ.get(instance.password_env or "", ""))
    return extra


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat().replace("+00:00", "Z")

"""Exactly-once in effect: alerts to Alertmanager's API v2, which knows an alert by its labels; posting again
changes nothing.

A firing alert is posted again every minute with an ``endsAt`` four minutes of wall-clock time ahead, so that
it outlives missed posts but not us; a resolved one carries the time at which it was resolved, and is posted
again for five minutes (Prometheus's own client does the same), so that an instance that had restarted hears
of it too.  Every instance is served by itself: one that is down delays nothing at the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rules.units import MINUTE_US, SECOND_US, iso_time
from sinks.credentials import lacking, secret
from sinks.delivery import Outcome
from sinks.errors import Refused, RetryLater
from store.outbox import PendingMessage

RESEND_US = MINUTE_US
RESOLVED_US = 5 * MINUTE_US
AHEAD_US = 4 * MINUTE_US
TIMEOUT_S = 10.0
_MOST = 100  # alerts in one post
_MOST_WAIT_US = 30 * SECOND_US


class AlertmanagerConfig(BaseModel):
    """One instance; secrets are named, never written: ``token_env`` and ``password_env`` are environment
    variables.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s/]+", description="where it is, such as http://127.0.0.1:9093")
    username: str | None = Field(default=None, description="for basic auth, with password_env")
    password_env: str | None = Field(
        default=None, description="the environment variable that holds the password"
    )
    token_env: str | None = Field(
        default=None, description="the environment variable that holds a bearer token"
    )
    ca_file: str | None = Field(
        default=None, description="a CA certificate file, for a server with one of its own"
    )

    @model_validator(mode="after")
    def _one_login(self) -> AlertmanagerConfig:
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        if self.username is not None and self.token_env is not None:
            raise ValueError("either username and password_env, or token_env")
        return self

    def lacking(self) -> dict[str, str]:
        """What the environment lacks, by key."""
        return lacking(
            {"password_env": self.password_env, "token_env": self.token_env}, {"ca_file": self.ca_file}
        )


def _from_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


AlertmanagerTarget = Annotated[AlertmanagerConfig, BeforeValidator(_from_url)]  # a bare URL, or the whole


def _wall_us() -> int:
    return time.time_ns() // 1000


class _Instance:
    """One Alertmanager: what it took last of each target, and when it is to be asked again after a
    failure.
    """

    def __init__(self, config: AlertmanagerConfig) -> None:
        self.config = config
        self.taken: dict[str, tuple[str, int]] = {}
        self.failures = 0
        self._not_before_us = 0
        self._error = ""

    def post(self, alerts: Sequence[dict[str, Any]], now_us: int) -> None:
        """Post alerts; after a failure nothing is tried for a while and the same is said at once.

        Raises:
            RetryLater: it is down, or does not let us in.
            Refused: it says that one of them is wrong.
        """
        if now_us < self._not_before_us:
            raise RetryLater(self._error)
        problem = self._problem(alerts)
        if problem is not None:
            self.failures += 1
            self._error = f"{self.config.url}: {problem}"
            self._not_before_us = now_us + min(_MOST_WAIT_US, 500_000 * 2 ** min(self.failures, 8))
            raise RetryLater(self._error)
        self.failures, self._not_before_us = 0, 0

    def _problem(self, alerts: Sequence[dict[str, Any]]) -> str | None:
        import requests  # not needed by those who only read the config

        config = self.config
        url = f"{config.url.rstrip('/')}/api/v2/alerts"
        try:
            answer = requests.post(
                url, json=list(alerts), timeout=TIMEOUT_S, allow_redirects=False, **access(config)
            )
        except requests.RequestException as error:
            return type(error).__name__
        if answer.status_code in (401, 403):
            return f"HTTP {answer.status_code}: it does not let us in (see the login in alerts.alertmanager)"
        if 300 <= answer.status_code < 400:
            return (
                f"HTTP {answer.status_code}: it points elsewhere, and alerts do not follow (name the "
                "final address)"
            )
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            return f"HTTP {answer.status_code}"
        if answer.status_code >= 400:
            self.failures = 0
            raise Refused(f"{config.url}: HTTP {answer.status_code}")
        return None


class Alertmanager:
    """Posts to every instance: all must have taken an alert for it to count as delivered. Use it from one
    thread.
    """

    name = "alertmanager"

    def __init__(
        self,
        instances: Sequence[AlertmanagerConfig],
        clock: Callable[[], int] = _wall_us,
        *,
        own_url: str = "",
    ) -> None:
        self._instances = [_Instance(config) for config in instances]
        self._resolved: dict[str, tuple[int, dict[str, Any]]] = {}
        self._clock = clock
        self._own_url = own_url

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Post alerts, firing or resolved, to each instance that has not taken them yet."""
        errors: dict[str, list[RetryLater | Refused]] = {message.target: [] for message in messages}
        took: set[str] = set()
        for instance in self._by_health():
            todo = [
                message
                for message in messages
                if instance.taken.get(message.target, ("", 0))[0] != message.seq_key
            ]
            took |= {message.target for message in messages} - {message.target for message in todo}
            for start in range(0, len(todo), _MOST):
                for target, error in self._post(instance, todo[start : start + _MOST]).items():
                    errors[target].append(error)
            took |= {
                message.target
                for message in todo
                if instance.taken.get(message.target, ("", 0))[0] == message.seq_key
            }
        for message in messages:
            if message.payload["status"] == "resolved" and not errors[message.target]:
                self._resolved[message.target] = (self._clock() + RESOLVED_US, message.payload)
            elif message.payload["status"] != "resolved":
                self._resolved.pop(message.target, None)
        return [
            Outcome(message, _worst(errors[message.target], message.target in took)) for message in messages
        ]

    def resend(self, firing: dict[str, dict[str, Any]]) -> None:
        """Post again what still fires (payloads by target) or was resolved of late, and was last posted a
        minute ago or more.

        Raises:
            RetryLater: an instance did not take it; said once for each attempt, the others were served.
        """
        now = self._clock()
        self._resolved = {
            t: (until, p) for t, (until, p) in self._resolved.items() if now < until and t not in firing
        }
        known = {**{target: payload for target, (_, payload) in self._resolved.items()}, **firing}
        failed: list[str] = []
        for instance in self._by_health():
            tries = instance.failures
            due = [t for t in known if now - instance.taken.get(t, ("", 0))[1] >= RESEND_US]
            for start in range(0, len(due), _MOST):
                part = due[start : start + _MOST]
                try:
                    instance.post([self._alert(known[target]) for target in part], now)
                except (RetryLater, Refused) as error:
                    if instance.failures != tries or isinstance(error, Refused):
                        failed.append(str(error))
                    break
                for target in part:
                    instance.taken[target] = (instance.taken.get(target, ("", 0))[0], self._clock())
            instance.taken = {
                t: one for t, one in instance.taken.items() if t in known or now - one[1] < RESOLVED_US
            }
        if failed:
            raise RetryLater("Alertmanager " + "; ".join(failed))

    def _by_health(self) -> list[_Instance]:
        return sorted(self._instances, key=lambda one: one.failures)

    def _post(
        self, instance: _Instance, messages: Sequence[PendingMessage]
    ) -> dict[str, RetryLater | Refused]:
        """Post some wishes at once, one by one where one of them is refused; the errors by target."""
        try:
            instance.post([self._alert(message.payload) for message in messages], self._clock())
        except RetryLater as error:
            return {message.target: error for message in messages}
        except Refused as error:
            if len(messages) == 1:
                return {messages[0].target: error}
            found: dict[str, RetryLater | Refused] = {}
            for message in messages:
                found |= self._post(instance, [message])
            return found
        for message in messages:
            instance.taken[message.target] = (message.seq_key, self._clock())
        return {}

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
        alert = {
            "labels": {key: value for key, value in labels.items() if value},
            "annotations": annotations,
            "startsAt": iso_time(payload["starts_us"], "auto"),
            "endsAt": iso_time(ends, "auto"),
        }
        return {**alert, "generatorURL": self._own_url} if self._own_url else alert


def access(config: AlertmanagerConfig) -> dict[str, Any]:
    """The login and the trusted certificate of an instance, as arguments for ``requests``."""
    extra: dict[str, Any] = {"verify": config.ca_file or True}
    if config.token_env:
        extra["headers"] = {"Authorization": f"Bearer {secret(config.token_env)}"}
    elif config.username:
        extra["auth"] = (config.username.encode(), secret(config.password_env).encode())
    return extra


def _worst(errors: Sequence[RetryLater | Refused], somewhere: bool) -> RetryLater | Refused | None:
    """What to say of a wish that some instances did not take: try again if any may still take it."""
    waiting = "; ".join(str(one) for one in errors if isinstance(one, RetryLater))
    if waiting:
        return RetryLater(f"Alertmanager {waiting}", partly=somewhere)
    return Refused("Alertmanager " + "; ".join(map(str, errors))) if errors else None

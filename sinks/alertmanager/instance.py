"""One Alertmanager over its API v2: alerts, silences, its status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rules.units import SECOND_US
from sinks.alertmanager.config import KEY, AlertmanagerConfig
from sinks.base import Probe
from sinks.errors import Refused, RetryLater
from sinks.http import client

_MAX_WAIT_US = 30 * SECOND_US


class Instance:
    """One Alertmanager: what it took last of each target, and when to ask it again after a failure."""

    def __init__(self, config: AlertmanagerConfig) -> None:
        self.config = config
        self.taken: dict[str, tuple[str, int]] = {}  # by target: the key of the message, and when
        self.failures = 0
        self._not_before_us = 0
        self._error = ""
        self._advice: tuple[str, ...] = ()

    def post(self, alerts: Sequence[dict[str, Any]], now_us: int) -> None:
        """Post alerts; after a failure nothing is tried for a while and the same error is raised at once.

        Raises:
            RetryLater: it is down, or does not let us in.
            Refused: it says that one of them is wrong.
        """
        if now_us < self._not_before_us:
            raise RetryLater(self._error, advice=self._advice)
        try:
            self.call("POST", "alerts", list(alerts))
        except RetryLater as error:
            self.failures += 1
            self._error, self._advice = str(error), error.advice
            self._not_before_us = now_us + min(_MAX_WAIT_US, 500_000 * 2 ** min(self.failures, 8))
            raise
        except Refused:
            self.failures = 0
            raise
        self.failures, self._not_before_us = 0, 0

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of its API; the answer's JSON, None where it is none.

        Raises:
            RetryLater, Refused: it failed; the message and the advice name the instance.
        """
        try:
            answer = client.deliver(method, _url(self.config, path), self.config, body, KEY.path)
        except (RetryLater, Refused) as error:
            advice = [f"{self.config.url}: {line}" for line in error.advice]
            raise type(error)(f"{self.config.url}: {error}", advice=advice) from error
        try:
            return answer.json()
        except ValueError:
            return None


def probe(config: AlertmanagerConfig, timeout_s: float) -> Probe:
    """Whether it answers, and with which version."""
    import requests

    hint = f"start it, or correct {KEY.path} in the config"
    try:
        answer = client.call("GET", _url(config, "status"), config, timeout_s=timeout_s)
    except (requests.RequestException, OSError) as error:
        return Probe("alertmanager", "fail", f"{config.url}: {client.reason(error)}", hint)
    status = answer.status_code
    if status in client.NO_ACCESS:
        hint = f"see username, password_env and token_env in {KEY.path}"
        return Probe("alertmanager", "fail", f"{config.url} does not let us in (HTTP {status})", hint)
    if status != 200:
        return Probe("alertmanager", "fail", f"{config.url}: HTTP {status}", hint)
    try:
        version = answer.json()["versionInfo"]["version"]
    except (ValueError, TypeError, KeyError):
        return Probe("alertmanager", "fail", f"{config.url}: its answer is not that of an Alertmanager", hint)
    return Probe("alertmanager", "ok", f"{config.url}: version {version}")


def _url(config: AlertmanagerConfig, path: str) -> str:
    return f"{config.url.rstrip('/')}/api/v2/{path}"

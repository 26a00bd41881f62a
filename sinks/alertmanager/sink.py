"""Exactly-once in effect: alerts to Alertmanager's API v2, which knows an alert by its labels; posting again
changes nothing.

A firing alert is posted again every minute with an ``endsAt`` four minutes of wall-clock time ahead, so that
it outlives missed posts but not us.  A resolved one carries the time at which it was resolved, and is posted
again for five minutes (as Prometheus's own client does), so that an instance that was restarted gets it too.
Every instance is served by itself: one that is down delays nothing at the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from rules.units import MINUTE_US, iso_time
from sinks.alertmanager import silences
from sinks.alertmanager.config import KEY, AlertmanagerConfig
from sinks.alertmanager.instance import Instance, probe
from sinks.base import (
    MessageKind,
    Outcome,
    Payload,
    Probe,
    Sink,
    SinkConfig,
    SinkContext,
    sample_alerts,
)
from sinks.credentials import missing_in
from sinks.errors import Refused, RetryLater
from sinks.shown import Mute
from store.outbox import PendingMessage

RESEND_US = MINUTE_US
RESOLVED_US = 5 * MINUTE_US
AHEAD_US = 4 * MINUTE_US
_BATCH = 100  # alerts in one post


def _wall_us() -> int:
    return time.time_ns() // 1000


class Alertmanager(Sink):
    """Posts to every instance: all must have taken an alert for it to count as delivered."""

    name = "alertmanager"
    consumes = MessageKind.ALERT
    config_keys = (KEY,)
    resends = True
    mutes = True

    def __init__(
        self,
        instances: Sequence[AlertmanagerConfig],
        clock: Callable[[], int] = _wall_us,
        *,
        own_url: str = "",
        once_every_us: int | None = None,
    ) -> None:
        self._instances = [Instance(config) for config in instances]
        self._resolved: dict[str, tuple[int, Payload]] = {}  # by target: until when to post it again
        self._clock = clock
        self._own_url = own_url
        # Nobody sends an alert again until the next `run --once`; it must outlast that one, even a late one.
        self._lasts_us = AHEAD_US + 2 * (once_every_us or 0)

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """One for all Alertmanagers: an alert is delivered once every one of them has it."""
        return [cls.name] if config.get(KEY.path) else []

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """One sink for all instances of the config."""
        instances = context.config.get(KEY.path)
        if not instances:
            return None
        return cls(instances, own_url=context.own_url, once_every_us=context.once_every_us)

    @classmethod
    def missing(cls, config: SinkConfig) -> dict[str, str]:
        """The secrets and certificates of every instance."""
        return missing_in(KEY.path, config.get(KEY.path, ()))

    @classmethod
    def probe(cls, config: SinkConfig, timeout_s: float) -> Iterator[Probe]:
        """Each instance."""
        for instance in config.get(KEY.path, ()):
            yield probe(instance, timeout_s)

    @classmethod
    def test_messages(cls, now_us: int) -> Sequence[PendingMessage]:
        """A test alert that fires until its ``endsAt``.

        It began longer ago than ``group_wait``, so that people are paged at once.  Resolved at once, it would
        page nobody: an Alertmanager that still waits to group it drops it.
        """
        return sample_alerts(cls.name, now_us)[:1]

    @property
    def destinations(self) -> Sequence[str]:
        """The URLs of the instances."""
        return [instance.config.url for instance in self._instances]

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Post alerts, firing or resolved, to each instance that has not taken them yet."""
        errors: dict[str, list[RetryLater | Refused]] = {message.target: [] for message in messages}
        taken_somewhere: set[str] = set()
        for instance in self._by_health():
            due = [message for message in messages if not _has(instance, message)]
            for start in range(0, len(due), _BATCH):
                for target, error in self._post(instance, due[start : start + _BATCH]).items():
                    errors[target].append(error)
            taken_somewhere |= {message.target for message in messages if _has(instance, message)}
        for message in messages:
            if message.payload["status"] == "resolved" and not errors[message.target]:
                self._resolved[message.target] = (self._clock() + RESOLVED_US, message.payload)
            elif message.payload["status"] != "resolved":
                self._resolved.pop(message.target, None)
        return [
            Outcome(message, _worst(errors[message.target], message.target in taken_somewhere))
            for message in messages
        ]

    def resend(self, firing: Mapping[str, Payload]) -> None:
        """Post again what still fires or was resolved in the last minutes, if the last post was a minute ago
        or more.

        Raises:
            RetryLater: an instance did not take it; raised once for each attempt, the others were served.
        """
        now = self._clock()
        self._resolved = {
            t: (until, p) for t, (until, p) in self._resolved.items() if now < until and t not in firing
        }
        known = {**{target: payload for target, (_, payload) in self._resolved.items()}, **firing}
        failed = [error for instance in self._by_health() if (error := self._resend(instance, known, now))]
        if failed:
            raise RetryLater("Alertmanager " + "; ".join(failed))

    def _resend(self, instance: Instance, known: Mapping[str, Payload], now_us: int) -> str:
        """Serve one instance; its error, or "" where there is none or it was raised before."""
        failed, failures = "", instance.failures
        due = [t for t in known if now_us - instance.taken.get(t, ("", 0))[1] >= RESEND_US]
        for start in range(0, len(due), _BATCH):
            part = due[start : start + _BATCH]
            try:
                instance.post([self._alert(known[target]) for target in part], now_us)
            except RetryLater as error:
                failed = str(error) if instance.failures != failures else ""
                break
            except Refused as error:
                failed = str(error)
                break
            for target in part:
                instance.taken[target] = (instance.taken.get(target, ("", 0))[0], self._clock())
        instance.taken = {
            t: one for t, one in instance.taken.items() if t in known or now_us - one[1] < RESOLVED_US
        }
        return failed

    def mute(self, rule: str, group: Mapping[str, str], from_us: int, until_us: int) -> Iterator[str]:
        """Silence the alerts of a rule at every instance, and yield its URL; they are still posted and shown
        there.

        Raises:
            RetryLater, Refused: after all of them were asked, an instance did not take it.
        """
        failed: list[RetryLater | Refused] = []
        for instance in self._instances:
            try:
                silences.add(instance.call, rule, group, from_us, until_us)
            except (RetryLater, Refused) as error:
                failed.append(error)
                continue
            yield instance.config.url
        if worst := _worst(failed, somewhere=False):
            raise worst

    def muted(self) -> list[Mute]:
        """The silences of every instance that name one rule.

        Raises:
            RetryLater, Refused: an instance did not answer.
        """
        return [
            mute
            for instance in self._instances
            for mute in silences.listed(instance.call, instance.config.url)
        ]

    def unmute(self, mute: Mute) -> None:
        """End a silence at its instance.

        Raises:
            RetryLater, Refused: it did not take it.
        """
        (place,) = (one for one in self._instances if one.config.url == mute.place)
        silences.end(place.call, mute)

    def _by_health(self) -> list[Instance]:
        return sorted(self._instances, key=lambda one: one.failures)

    def _post(
        self, instance: Instance, messages: Sequence[PendingMessage]
    ) -> dict[str, RetryLater | Refused]:
        """Post some alerts at once, one by one where one of them is refused; the errors by target."""
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

    def _alert(self, payload: Payload) -> dict[str, Any]:
        resolved = payload["status"] == "resolved"
        ends = payload["resolved_us"] if resolved else self._clock() + self._lasts_us
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


def _has(instance: Instance, message: PendingMessage) -> bool:
    """Whether the instance has taken this very message."""
    return instance.taken.get(message.target, ("", 0))[0] == message.seq_key


def _worst(errors: Sequence[RetryLater | Refused], somewhere: bool) -> RetryLater | Refused | None:
    """The error of a message that some instances did not take: try again if any may still take it."""
    waiting = "; ".join(str(one) for one in errors if isinstance(one, RetryLater))
    advice = [line for one in errors for line in one.advice]
    if waiting:
        return RetryLater(f"Alertmanager {waiting}", partly=somewhere, advice=advice)
    return Refused("Alertmanager " + "; ".join(map(str, errors)), advice=advice) if errors else None

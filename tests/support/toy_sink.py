"""A complete sink in one file: alerts to invented pagers, one POST each, and each pager served by itself.

A test adds its line to the registry: ``SINKS[ToySink.name] = ToySink``.  As a program this file is the
command line with that line added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import requests
from pydantic import Field

from sinks.base import (
    ConfigKey,
    MessageKind,
    Outcome,
    Probe,
    Sink,
    SinkConfig,
    SinkContext,
    sample_alerts,
)
from sinks.credentials import Login, missing_in
from sinks.delivery import each
from sinks.http import client
from sinks.registry import SINKS
from store.outbox import PendingMessage


class Pager(Login):
    name: str = Field(description="what it is called in the outbox and in metrics")
    url: str = Field(description="its address")


KEY = ConfigKey("alerts.toy", list[Pager], [], "invented pagers, each with a name; all get every alert")


class ToySink(Sink):
    """At least once: the pager gets the message's key, by which it knows a repeat."""

    name = "toy"
    consumes = MessageKind.ALERT
    config_keys = (KEY,)

    def __init__(self, pager: Pager) -> None:
        self.name, self.pager = f"toy/{pager.name}", pager

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        return [f"toy/{pager.name}" for pager in config.get(KEY.path, ())]

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        pagers = context.config.get(KEY.path, ())
        return next((cls(pager) for pager in pagers if f"toy/{pager.name}" == name), None)

    @classmethod
    def missing(cls, config: SinkConfig) -> dict[str, str]:
        return missing_in(KEY.path, config.get(KEY.path, ()))

    @classmethod
    def probe(cls, config: SinkConfig, timeout_s: float) -> Iterator[Probe]:
        for pager in config.get(KEY.path, ()):
            try:
                client.call("GET", pager.url, pager, timeout_s=timeout_s)
                yield Probe(cls.name, "ok", f"{pager.url} answers")
            except requests.RequestException as error:
                yield Probe(cls.name, "fail", f"{pager.url}: {client.reason(error)}", "start the pager")

    @classmethod
    def test_messages(cls, now_us: int) -> Sequence[PendingMessage]:
        return sample_alerts(cls.name, now_us)

    @property
    def destinations(self) -> Sequence[str]:
        return (self.pager.url,)

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        return each(messages, self._page)

    def _page(self, message: PendingMessage) -> str:
        body = {"key": message.seq_key, **message.payload}
        client.deliver("POST", self.pager.url, self.pager, body, KEY.path)
        return ""


if __name__ == "__main__":
    from tracesieve.cli import main

    SINKS[ToySink.name] = ToySink
    main()

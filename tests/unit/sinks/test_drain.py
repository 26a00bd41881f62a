"""Delivering before the end of a command: for a bounded time, each sink beside the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sinks.base import Outcome
from sinks.delivery import Delivery
from sinks.drain import drain
from sinks.errors import RetryLater
from store import open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage


class Taking:
    """A sink that takes everything, fails, hangs until ``go`` is set, or breaks the store's own way."""

    def __init__(
        self, name: str, error: BaseException | None = None, go: threading.Event | None = None
    ) -> None:
        self.name, self.error, self.go = name, error, go

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        if self.go is not None:
            self.go.wait(60)
        if self.error is not None:
            raise self.error
        return [Outcome(one) for one in messages]


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    made = Outbox(open_store(str(tmp_path / "store")))
    made.enqueue([OutboxMessage(name, "t", {"value": 1}) for name in ("one", "two")], 1)
    return made


def drained(outbox: Outbox, *sinks: Taking, seconds: float, idle_s: float = 60.0) -> tuple[int, float]:
    begun = time.monotonic()
    deliveries = [Delivery(one, outbox) for one in sinks]  # type: ignore[arg-type]
    waiting = drain(deliveries, outbox, lambda: 2, seconds, idle_s=idle_s)
    return waiting, time.monotonic() - begun


def test_it_ends_when_nothing_waits(outbox: Outbox) -> None:
    waiting, took_s = drained(outbox, Taking("one"), Taking("two"), seconds=60)
    assert (waiting, took_s < 30) == (0, True)


def test_it_gives_up_at_its_deadline_and_knows_why(outbox: Outbox) -> None:
    sink = Taking("one", RetryLater("down"))
    delivery = Delivery(sink, outbox)  # type: ignore[arg-type]
    assert drain([delivery], outbox, lambda: 2, 0.5) == 1
    assert delivery.reason == "down"


def test_a_sink_that_hangs_is_left_behind_and_keeps_no_other_from_its_turn(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    waiting, took_s = drained(outbox, Taking("one", go=go), Taking("two"), seconds=2)
    go.set()
    assert (waiting, took_s < 10) == (1, True)
    assert "one is still delivering" in caplog.text


def test_it_ends_early_where_nothing_is_settled_any_more(outbox: Outbox) -> None:
    waiting, took_s = drained(outbox, Taking("one", RetryLater("down")), Taking("two"), seconds=60, idle_s=1)
    assert (waiting, 1 <= took_s < 20) == (1, True)


def test_an_error_that_is_not_the_sinks_own_reaches_the_caller(outbox: Outbox) -> None:
    with pytest.raises(KeyboardInterrupt):
        drained(outbox, Taking("one", KeyboardInterrupt()), seconds=60)

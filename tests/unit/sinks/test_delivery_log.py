"""What the log says of deliveries at level debug: how many, how long each stage took, and no content."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from sinks.base import Outcome
from sinks.delivery import Delivery
from store import open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage


class Taker:
    name = "taker"

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        return [Outcome(message) for message in messages]


def test_the_stages_of_a_delivery_are_said_with_their_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(open_store(str(tmp_path / "store")))
    delivery = Delivery(Taker(), outbox)  # type: ignore[arg-type]
    caplog.set_level(logging.DEBUG, "sinks")
    delivery.step(1)
    assert caplog.messages == []  # nothing waits: nothing to say
    outbox.enqueue([OutboxMessage("taker", str(n), {"request": "hunter2"}) for n in range(3)], 1)
    assert delivery.step(2) == 3
    (line,) = caplog.messages
    assert re.fullmatch(
        r"taker: 3 of 3 messages settled, 0 put off; read \d+ ms, deliver \d+ ms, acknowledge \d+ ms", line
    )

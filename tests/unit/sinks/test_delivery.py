"""The delivery loop against a sink that fails on demand: an outage delays and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sinks.base import Outcome
from sinks.delivery import Delivery, each
from sinks.errors import Refused, RetryLater
from sinks.mlflow.provenance import parsed
from store import open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage


class Recorder:
    name = "recorder"

    def __init__(self) -> None:
        self.got: list[PendingMessage] = []
        self.fail: Exception | None = None

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        return each(messages, self._one)

    def _one(self, message: PendingMessage) -> str:
        if self.fail is not None:
            raise self.fail
        self.got.append(message)
        return ""


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(open_store(str(tmp_path / "store")))


def _message(target: str, value: int = 0) -> OutboxMessage:
    return OutboxMessage("recorder", target, {"value": value})


def test_sem_21_an_outage_delays_and_loses_nothing(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, now = Recorder(), 0.0
    monkeypatch.setattr("sinks.delivery.time.monotonic", lambda: now)
    outbox.enqueue([_message("a"), _message("b")], 1)
    delivery = Delivery(sink, outbox)
    sink.fail = RetryLater("down")
    for _ in range(5):
        assert delivery.step(2) == 0
        now += 100
    assert outbox.count() == 2
    sink.fail = None
    assert delivery.step(3) == 2
    assert outbox.count() == 0
    assert {message.target for message in sink.got} == {"a", "b"}


def test_backs_off_after_a_failure(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, now = Recorder(), 0.0
    monkeypatch.setattr("sinks.delivery.time.monotonic", lambda: now)
    outbox.enqueue([_message("a")], 1)
    delivery = Delivery(sink, outbox)
    sink.fail = RetryLater("down")
    delivery.step(2)
    sink.fail = None
    assert delivery.step(2) == 0
    now = 1.1
    assert delivery.step(2) == 1


class Picky(Recorder):
    """Fails on some targets, for good or for now."""

    def __init__(self, **errors: Exception) -> None:
        super().__init__()
        self.errors = errors

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        return each(messages, self._one, workers=4)

    def _one(self, message: PendingMessage) -> str:
        if message.target in self.errors:
            raise self.errors[message.target]
        return super()._one(message)


def test_sem_21_one_message_that_fails_holds_up_no_other_and_the_reason_is_listed(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("sinks.delivery.time.monotonic", lambda: now)
    counted: list[tuple[str, str, int]] = []
    sink = Picky(b=RetryLater("HTTP 500"))
    delivery = Delivery(sink, outbox, lambda *one: counted.append(one))
    outbox.enqueue([_message("a"), _message("b"), _message("c")], 1)
    assert delivery.step(2) == 2
    assert sorted(counted) == [("recorder", "delivered", 2), ("recorder", "retry", 1)]
    outbox.enqueue([_message("d")], 3)
    assert delivery.step(4) == 1  # the sink as a whole works: no back-off for a new message
    assert [(row["target"], row["outcome"], row["detail"]) for row in outbox.rows()] == [
        ("b", "retry", "HTTP 500")
    ]
    assert delivery.step(5) == 0
    del sink.errors["b"]
    now += 2
    assert delivery.step(6) == 1


def test_a_sink_that_is_down_is_not_asked_for_every_message(outbox: Outbox) -> None:
    tried: list[str] = []

    def down(message: PendingMessage) -> str:
        tried.append(message.target)
        raise RetryLater("down")

    outbox.enqueue([_message(f"t{i}") for i in range(200)], 1)
    assert len(each(outbox.pending("recorder", 200), down, workers=4)) == len(tried) < 20


def test_messages_go_beside_one_another_and_each_once(outbox: Outbox) -> None:
    outbox.enqueue([_message(f"t{i}") for i in range(100)], 1)
    together = threading.Barrier(4, timeout=20)
    got: list[str] = []

    def deliver(message: PendingMessage) -> str:
        together.wait()  # passes only when four are under way at once
        got.append(message.target)
        return ""

    outcomes = each(outbox.pending("recorder", 100), deliver, workers=4)
    assert sorted(got) == sorted(f"t{i}" for i in range(100))
    assert [one.error for one in outcomes] == [None] * 100


def test_a_bug_in_a_sink_is_raised_and_nothing_is_acknowledged(outbox: Outbox) -> None:
    def broken(message: PendingMessage) -> str:
        raise ZeroDivisionError

    outbox.enqueue([_message("a"), _message("b")], 1)
    with pytest.raises(ZeroDivisionError):
        each(outbox.pending("recorder"), broken, workers=2)
    assert outbox.count() == 2


def test_sem_21_refused_becomes_a_dead_letter_and_the_rest_goes_on(outbox: Outbox) -> None:
    sink = Recorder()
    outbox.enqueue([_message("a")], 1)
    sink.fail = Refused("404")
    Delivery(sink, outbox).step(2)
    assert [row["outcome"] for row in outbox.rows()] == ["dead"]
    sink.fail = None
    outbox.enqueue([_message("b")], 3)
    assert Delivery(sink, outbox).step(4) == 1


def test_only_the_newest_message_of_a_target_is_delivered(outbox: Outbox) -> None:
    sink = Recorder()
    outbox.enqueue([_message("a", 1)], 1)
    outbox.enqueue([_message("a", 2)], 2)
    Delivery(sink, outbox).step(3)
    assert [message.payload["value"] for message in sink.got] == [2]
    assert outbox.count() == 0


class Poisoned(Recorder):
    """A sink that breaks whenever one message is among those that it gets."""

    def __init__(self, target: str, error: Exception) -> None:
        super().__init__()
        self.target, self.error = target, error

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        if any(message.target == self.target for message in messages):
            raise self.error
        return super().deliver(messages)


def settle(delivery: Delivery, monkeypatch: pytest.MonkeyPatch, passes: int = 20) -> None:
    now = 0.0
    monkeypatch.setattr("sinks.delivery.time.monotonic", lambda: now)
    for number in range(passes):
        delivery.step(2 + number)
        now += 100


@pytest.mark.parametrize("others", [0, 7])
def test_sem_21_a_message_at_which_a_sink_breaks_harms_no_other_and_becomes_a_dead_letter(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, others: int
) -> None:
    sink = Poisoned("bad", RecursionError("the content of a trace"))
    outbox.enqueue([_message("bad"), *(_message(f"good-{i}") for i in range(others))], 1)
    settle(Delivery(sink, outbox), monkeypatch)
    assert {message.target for message in sink.got} == {f"good-{i}" for i in range(others)}
    (row,) = [row for row in outbox.rows() if row["outcome"] == "dead"]
    assert (row["target"], row["detail"]) == (
        "bad",
        "the delivery of this message breaks (RecursionError), 8 times",
    )
    assert outbox.count() == 0
    assert "content of a trace" not in caplog.text


def test_sem_21_what_the_other_side_fails_at_by_itself_is_refused_while_the_rest_goes_out(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Picky(bad=RetryLater("it failed (500)", answered=True))
    delivery, now = Delivery(sink, outbox), 0.0
    monkeypatch.setattr("sinks.delivery.time.monotonic", lambda: now)
    outbox.enqueue([_message("bad")], 1)
    for number in range(20):
        outbox.enqueue([_message(f"good-{number}")], 1)
        delivery.step(2 + number)
        now += 100
    (row,) = [row for row in outbox.rows() if row["outcome"] == "dead"]
    assert (row["target"], row["detail"]) == ("bad", "it failed (500), 8 times")
    assert len(sink.got) == 20


def test_sem_21_a_server_that_fails_at_everything_refuses_nothing(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Recorder()
    sink.fail = RetryLater("it failed (503)", answered=True)
    outbox.enqueue([_message("a"), _message("b")], 1)
    settle(Delivery(sink, outbox), monkeypatch, 40)
    assert outbox.count() == 2


@pytest.mark.parametrize("deep", [100, 990, 5000, 100_000])
def test_a_request_that_is_nested_too_deep_stays_a_text(deep: int) -> None:
    text = "[" * deep + "]" * deep
    assert parsed(text) == text
    assert parsed('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}

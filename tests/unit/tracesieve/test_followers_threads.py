"""Followers, a sink and scrapes in threads of their own, as a run has them, and how they end."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from deltalake import DeltaTable
from prometheus_client import generate_latest
from support.made_facts import MINUTE, T0, batch, fact

from sinks.base import MessageKind, Outcome, Payload, Sink, SinkConfig, SinkContext
from sinks.delivery import Delivery
from sinks.registry import SINKS
from store.outbox import PendingMessage
from store.schemas import TRACES
from store.tail import TailLost
from streams.sources.delta_traces.source import DeltaTracesSource
from tracesieve.alerts.verdict_log import VerdictLog
from tracesieve.config.settings import Settings
from tracesieve.run import live
from tracesieve.run.parts import Run, open_run

GROUPS, MINUTES = 30, 8
WINDOW_END, WINDOW_RATIO = "tracesieve_window_end_timestamp_seconds", "tracesieve_window_error_ratio{"
RULES = """version: 1
rules:
  - {id: errors, window: {size: 1m, by: [experiment]}, fire: errors > 0}
"""


class Recorder(Sink):
    """Exactly once: keeps in memory what a receiver of alerts was given."""

    name = "recorder"
    consumes = MessageKind.ALERT
    resends = True

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}
        self.sent_again: list[dict[str, Payload]] = []

    @classmethod
    def names(cls, config: SinkConfig) -> list[str]:
        return [cls.name]

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self:
        return cls()

    def deliver(self, messages: Any) -> list[Outcome]:
        self.standing |= {message.target: message.payload["status"] for message in messages}
        return [Outcome(message) for message in messages if isinstance(message, PendingMessage)]

    def resend(self, firing: Any) -> None:
        self.sent_again.append(dict(firing))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))
    (tmp_path / "rules.yaml").write_text(RULES)
    return Settings(
        source=DeltaTracesSource(table=str(tmp_path / "traces")),
        store=str(tmp_path / "store"),
        rules=["rules.yaml"],
        base_dir=str(tmp_path),
        group_by=("experiment",),
    )


def minute_of(run: Run, minute: int) -> None:
    """A minute in which every group fails, or none does."""
    rows = [
        fact(f"{minute}-{group}", minute, error=minute % 2 == 0, group=[f"g{group}"])
        for group in range(GROUPS)
    ]
    batch(run.store, minute, rows, run.rule_set, stream=run.config.stream_id)


def scrape(run: Run, seen: set[tuple[float, float]], broken: list[BaseException]) -> None:
    """Read ``/metrics`` until the run stops: the end of the window, and the ratios of failed traces."""
    registry = run.metrics.registry()
    while not run.stop.wait(0.001):
        try:
            lines = generate_latest(registry).decode().splitlines()
        except BaseException as error:  # noqa: BLE001 - the test asserts that there is none
            broken.append(error)
            return
        values = [line.rpartition(" ") for line in lines]
        ends = [float(value) for name, _, value in values if name.startswith(WINDOW_END)]
        ratios = [float(value) for name, _, value in values if name.startswith(WINDOW_RATIO)]
        seen.update((end, ratio) for end in ends for ratio in ratios)


def ratio_at(end_s: float) -> float:
    """The share of failed traces in the five minutes before: every second minute all fail."""
    last = int(end_s * 1e6 - T0) // MINUTE
    minutes = range(max(last - 5, 0), last)
    return sum(minute % 2 == 0 for minute in minutes) / len(minutes)


@pytest.fixture
def lost_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers lose their tail again and again, as after a compaction, and rebuild their memory."""
    follow, calls = VerdictLog.follow, iter(range(10_000))

    def follow_or_lose(log: VerdictLog) -> Any:
        if next(calls) % 4 == 2:
            raise TailLost("compacted")
        return follow(log)

    monkeypatch.setattr(VerdictLog, "follow", follow_or_lose)


def play(run: Run, delivery: Delivery) -> tuple[set[tuple[float, float]], list[BaseException]]:
    """Follow some minutes while a sink delivers and ``/metrics`` is read, then end; what was scraped."""
    seen: set[tuple[float, float]] = set()
    broken: list[BaseException] = []
    threads = [live._thread(run, delivery.sink.name, 0.001, partial(run.deliver, delivery))]
    threads.append(threading.Thread(target=scrape, args=(run, seen, broken), daemon=True))
    threads[-1].start()
    for minute in range(MINUTES):
        minute_of(run, minute)
        now = T0 + (minute + 1) * MINUTE
        run.follow(now, now)
    run.stop.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    live._flush(run)
    return seen, broken


@pytest.mark.usefixtures("lost_tails")
def test_sem_16_a_sink_always_sees_a_whole_snapshot_of_what_fires(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(SINKS, Recorder.name, Recorder)
    caplog.set_level(logging.ERROR, "tracesieve.alerts")  # the alerts themselves
    with ExitStack() as stack:
        run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=T0)
        (delivery,) = [one for one in run.deliveries if one.sink.name == Recorder.name]
        seen, broken = play(run, delivery)
        recorder = delivery.sink
        assert isinstance(recorder, Recorder)
        assert run.outbox.counts().get(Recorder.name, 0) == 0
        notified = run.store.table("notifications").read()
    assert broken == []
    assert [record.message for record in caplog.records if "failed, trying again" in record.message] == []
    # Every group fires and resolves every second minute; the last minute is a good one.
    assert notified.height == GROUPS * MINUTES
    assert len(recorder.standing) == GROUPS
    assert set(recorder.standing.values()) == {"resolved"}
    assert any(recorder.sent_again)
    for snapshot in recorder.sent_again:
        assert len(snapshot) in (0, GROUPS)  # never a part of what one pass notified
        assert {payload["status"] for payload in snapshot.values()} <= {"firing"}
    assert seen
    for end, ratio in seen:
        assert ratio == pytest.approx(ratio_at(end))  # never a new end with old ratios

"""What threads share at the edges: a sink, the outbox, the metrics; and a sink that hangs when a run ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from deltalake import DeltaTable
from prometheus_client.parser import text_string_to_metric_families
from support.servers import free_port
from support.toy_sink import Pager, ToySink
from support.web_hook import WebHook, web_hook

from sinks.delivery import Delivery
from sinks.http.server import MetricsConfig, serve
from sinks.prometheus.state import MetricsState
from sinks.registry import SINKS
from store import open_store
from store.outbox import Outbox, OutboxMessage
from store.schemas import TRACES
from tracesieve.config.loading import load_settings
from tracesieve.run import live, shutdown
from tracesieve.run.parts import open_run


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with web_hook() as serving:
        yield serving


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def message(target: str, number: int = 0) -> OutboxMessage:
    return OutboxMessage("toy/a", target, {"number": number})


def test_a_sink_that_hangs_is_used_by_one_thread_and_holds_up_no_other(hook: WebHook, tmp_path: Path) -> None:
    outbox = Outbox(open_store(str(tmp_path)))
    delivery = Delivery(ToySink(Pager(name="a", url=hook.url)), outbox)
    outbox.enqueue([message("a")], 1)
    hook.let_through.clear()
    hanging = threading.Thread(target=delivery.step, args=(2,))
    hanging.start()
    until(lambda: hook.under_way)
    began = time.monotonic()
    assert (delivery.busy, delivery.step(3)) == (True, 0)
    delivery.resend({})
    assert time.monotonic() - began < 1
    hook.let_through.set()
    hanging.join(10)
    assert (hook.most_under_way, outbox.count()) == (1, 0)
    outbox.enqueue([message("b")], 4)
    assert delivery.step(5) == 1


def test_a_sink_that_is_at_work_when_a_run_ends_is_left_alone(
    hook: WebHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SINKS, "toy", ToySink)
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nmetrics: null\n"
        f"alerts: {{toy: [{{name: a, url: '{hook.url}'}}]}}\n"
    )
    with ExitStack() as stack:
        run = open_run(load_settings(config), stack, dry_run=False, rebuild=False, now_us=1)
        (toy,) = (one for one in run.deliveries if one.sink.name == "toy/a")
        run.outbox.enqueue([message("a")], 1)
        hook.let_through.clear()
        thread = live._thread(run, "toy/a", 0.01, partial(run.deliver, toy))
        until(lambda: hook.under_way)
        run.outbox.enqueue([message("b")], 2)
        run.stop.set()
        began = time.monotonic()
        shutdown.join([thread], began + 0.3)
        live._flush(run)
        assert 0.3 <= time.monotonic() - began < 5
        time.sleep(0.2)  # a second request would be under way by now
        assert hook.most_under_way == 1
        assert {row["target"] for row in run.outbox.rows()} == {"a", "b"}
        hook.let_through.set()
        thread.join(10)


def test_sinks_and_a_follower_beside_one_another_lose_and_repeat_nothing(
    hook: WebHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, stop = Outbox(open_store(str(tmp_path))), threading.Event()
    failed: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda one: failed.append(one.exc_value))
    sinks = []
    for name in ("one", "two", "three"):
        sinks.append(Delivery(ToySink(Pager(name=name, url=hook.url)), outbox))

    def deliver(delivery: Delivery) -> None:
        while not (stop.is_set() and outbox.count(delivery.sink.name) == 0):
            delivery.step(2)

    threads = [threading.Thread(target=deliver, args=(one,)) for one in sinks for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(20):
        payloads = {one.sink.name: {"to": one.sink.name, "n": number} for one in sinks}
        outbox.enqueue([OutboxMessage(name, f"t{number % 5}", one) for name, one in payloads.items()], 1)
        assert all(count <= 5 for count in outbox.counts().values())
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert outbox.rows() == []
    for one in sinks:
        got = [body["n"] for body in hook.bodies if body["to"] == one.sink.name]
        assert len(got) == len(set(got)), "delivered twice though nothing was killed"
        assert {*range(15, 20)} <= set(got), "the newest message of every target"


def test_no_scrape_sees_half_a_change() -> None:
    state, stop = MetricsState(["experiment"]), threading.Event()
    server = serve(MetricsConfig(listen=f"127.0.0.1:{free_port()}"), state.registry(), lambda: True)

    def count() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            state.observe_fact(fact(f"g{number % 50}"), {"r": "c"})
            state.set_gauge("tracesieve_outbox_pending", {("a",): number, ("b",): number})
            state.delivered("a", "delivered", 1)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            text = requests.get(f"{server.config.url}/metrics", timeout=10).text
            found = {family.name: family.samples for family in text_string_to_metric_families(text)}
            traces = sum(one.value for one in found["tracesieve_traces"])
            durations = found["tracesieve_trace_duration_seconds"]
            assert traces == sum(one.value for one in durations if one.name.endswith("_count"))
            assert len({one.value for one in found["tracesieve_outbox_pending"]}) <= 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        server.shutdown()
        server.server_close()


def fact(experiment: str) -> dict[str, Any]:
    return {
        "trace_id": "t",
        "group": [experiment],
        "state": "OK",
        "duration_us": 1_000_000,
        "end_us": 1_000_000,
        "tokens_input": 1,
        "tokens_output": 1,
        "cost_nusd": 1,
        "hits": [{"rule": "r", "hash": "h"}],
    }

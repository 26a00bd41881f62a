"""Traffic on a real MLflow server: two incidents, and everything that is odd about real traces."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

import mlflow
from support.mlflow_traces import copy_traces, insert_bare, log_trace, send_span
from support.servers import MlflowServer

from rules.units import HOUR_US, MINUTE_US, SECOND_US


@dataclass
class Traffic:
    """The server, and the traces that a test touches again."""

    server: MlflowServer
    now: int
    support: str  # the experiment of nearly all traces
    burst: str  # the experiment of thousands of traces with one end
    doomed: str = ""
    praised: str = ""
    tomorrow: str = ""
    otlp: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    otlp_root: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    wrong_clock: list[str] = field(default_factory=list)

    def experiments(self) -> dict[str, str]:
        demo = mlflow.MlflowClient(self.server.uri).get_experiment_by_name("MLflow Demo")
        return {self.support: "support", demo.experiment_id: "MLflow Demo"}

    def log(self, end_us: int, **how: Any) -> str:
        return log_trace(self.server, self.support, end_us, **how)


def first_traffic(server: MlflowServer) -> Traffic:
    """What is there before the first run: an hour and a half, most of it ordinary."""
    client = mlflow.MlflowClient(server.uri)
    support, burst = client.create_experiment("support"), client.create_experiment("burst")
    traffic = Traffic(server, time.time_ns() // 1000, support, burst)
    _incidents(traffic)
    _rule_matches(traffic)
    _odd_times(traffic)
    _not_counted(traffic)
    insert_bare(server, burst, "burst", 5000, (traffic.now - 30 * MINUTE_US) // 1000)
    start = traffic.now - 41 * MINUTE_US
    send_span(server, support, traffic.otlp, traffic.otlp_root, b"", start, start + 3 * SECOND_US)
    return traffic


def later_traffic(traffic: Traffic) -> None:
    """What arrives only after the first run: a late child span, feedback, a trace exported an hour late."""
    start, child = traffic.now - 41 * MINUTE_US, secrets.token_bytes(8)
    send_span(
        traffic.server, traffic.support, traffic.otlp, child, traffic.otlp_root, start, start + 12 * SECOND_US
    )
    mlflow.set_tracking_uri(traffic.server.uri)
    mlflow.log_feedback(trace_id=traffic.praised, name="correct", value=False)
    traffic.log(traffic.now - 60 * MINUTE_US, error=True, inputs={"q": "exported an hour after its end"})


def _incidents(traffic: Traffic) -> None:
    """Ordinary traces; an endpoint that fails for some minutes, a retriever that is slow for some."""
    now, server = traffic.now, traffic.server
    spans = (("CHAT_MODEL", False, "hello"), ("TOOL", False, "found"))
    fine = traffic.log(now - 100 * MINUTE_US, spans=spans, tokens=(300, 40))
    failed = traffic.log(now - 99 * MINUTE_US, error=True, inputs={"q": "where is my order?"}, outputs=None)
    slow = traffic.log(now - 98 * MINUTE_US, ms=9_500, inputs={"q": "compare everything"})
    copy_traces(server, fine, [now - 95 * MINUTE_US + i * 30 * SECOND_US for i in range(160)])
    copy_traces(server, failed, [now - 20 * MINUTE_US + i * 11 * SECOND_US for i in range(50)])
    copy_traces(server, slow, [now - 70 * MINUTE_US + i * 17 * SECOND_US for i in range(40)])


def _rule_matches(traffic: Traffic) -> None:
    """A trace for each rule of the default pack, and traces that tests delete or praise."""
    now, log = traffic.now, traffic.log
    log(now - 50 * MINUTE_US, ms=12_000, inputs={"q": "slow"})
    log(now - 49 * MINUTE_US, spans=(("TOOL", True, None),), inputs={"q": "a tool fails, the answer is fine"})
    log(now - 48 * MINUTE_US, spans=[("TOOL", False, i) for i in range(11)], inputs={"q": "a loop"})
    log(now - 47 * MINUTE_US, spans=(("RETRIEVER", False, []),), inputs={"q": "nothing found"})
    chat = (("CHAT_MODEL", False, "…"),)
    log(now - 46 * MINUTE_US, spans=chat, tokens=(21_000, 10), inputs={"q": "a long prompt"})
    log(now - 45 * MINUTE_US, spans=(), name="bare", inputs=[1, 2])
    traffic.doomed = log(now - 44 * MINUTE_US, error=True, inputs={"q": "deleted while being listed"})
    traffic.praised = log(now - 43 * MINUTE_US, inputs={"q": "gets feedback later"})


def _odd_times(traffic: Traffic) -> None:
    """Traces that took long, are old, or come from a wrong clock."""
    now, log = traffic.now, traffic.log
    log(now - 2 * MINUTE_US, ms=40 * 60_000, inputs={"q": "began before most others, ended after them"})
    log(now - 3 * 24 * HOUR_US, error=True, inputs={"q": "long ago"})
    ahead = log(now + 5 * MINUTE_US, error=True, inputs={"q": "ahead"})
    traffic.wrong_clock = [ahead, log(now - 5 * MINUTE_US, inputs={"q": "behind"})]
    traffic.tomorrow = log(now + 24 * HOUR_US, error=True, inputs={"q": "tomorrow"})


def _not_counted(traffic: Traffic) -> None:
    """A trace of an evaluation run, and one that has not ended."""
    judged = traffic.log(traffic.now - 42 * MINUTE_US, error=True, inputs={"q": "an evaluation run"})
    statement = (
        "INSERT INTO trace_request_metadata (request_id, key, value) VALUES (?, 'mlflow.sourceRun', 'r1')"
    )
    with sqlite3.connect(traffic.server.database, timeout=60) as base:
        base.execute(statement, [judged])
    insert_bare(traffic.server, traffic.support, "open", 1, traffic.now // 1000 - 60_000, "IN_PROGRESS")

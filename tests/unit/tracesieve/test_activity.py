"""The line a minute of a run that goes on."""

from __future__ import annotations

import logging

import pytest

from sinks.prometheus.state import MetricsState
from tracesieve.run.activity import Activity

FACT = {
    "group": ["shop"], "state": "OK", "duration_us": 1000, "trace_id": "t", "end_us": 0, "tokens_input": None,
    "tokens_output": None, "cost_nusd": None, "hits": [{"rule": "r"}],
}  # fmt: skip


class Minutes:
    """An activity whose clock moves by hand."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        log.set_level(logging.INFO, "tracesieve.run")
        self.now_s, self.log, self.state = 0.0, log, MetricsState(["experiment"])
        self.activity = Activity(self.state, lambda: self.now_s)

    def logged_after(self, seconds: float) -> list[str]:
        """What is logged when so much time has gone by, looked at every second."""
        self.log.clear()
        for _ in range(int(seconds)):
            self.now_s += 1
            self.activity.step()
        return self.log.messages


def test_a_minute_says_what_was_done_and_how_things_stand(caplog: pytest.LogCaptureFixture) -> None:
    minutes = Minutes(caplog)
    assert minutes.logged_after(59) == []
    for state in ("OK", "OK", "ERROR"):
        minutes.state.observe_fact({**FACT, "state": state}, {"r": "c"})
    minutes.state.delivered("mlflow_tags", "delivered", 2)
    minutes.state.delivered("mlflow_datasets", "delivered", 1)
    minutes.state.delivered("mlflow_tags", "retry", 5)
    minutes.state.delivered("alert_log", "delivered", 1)
    minutes.state.set_gauges(
        {
            "tracesieve_alerts": {("r", "warning", "firing"): 2.0},
            "tracesieve_outbox_pending": {("mlflow_tags",): 4.0},
            "tracesieve_final_through_timestamp_seconds": {(): 60.0},
        }
    )
    assert minutes.logged_after(1) == [
        "last 1m: 3 traces (1 error), 3 matches of rules, 2 tagged, 1 to datasets; "
        "final through 1970-01-01 00:01:00 UTC, 2 alerts firing, 4 messages waiting"
    ]
    fields = caplog.records[0].fields  # type: ignore[attr-defined]
    assert (fields["traces"], fields["waiting"], fields["final_through_us"]) == (3, 4, 60_000_000)
    minutes.state.observe_fact(FACT, {})
    minutes.state.add_totals({"backlog": 1200})
    assert minutes.logged_after(60) == [
        "last 1m: 1 trace (0 errors), 1,200 of the backlog; final through 1970-01-01 00:01:00 UTC, "
        "2 alerts firing, 4 messages waiting"
    ]


def test_it_is_quiet_while_nothing_happens_but_not_for_longer_than_ten_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    minutes = Minutes(caplog)
    assert minutes.logged_after(599) == []
    assert minutes.logged_after(1) == [
        "last 10m: nothing new; nothing final yet, 0 alerts firing, 0 messages waiting"
    ]
    assert minutes.logged_after(600) == ["last 10m: nothing new; nothing final yet, 0 alerts firing, "
                                       "0 messages waiting"]  # fmt: skip


def test_what_changes_without_a_new_trace_is_said(caplog: pytest.LogCaptureFixture) -> None:
    minutes = Minutes(caplog)
    minutes.logged_after(120)
    minutes.state.set_gauge("tracesieve_outbox_pending", {("mlflow_tags",): 1.0})
    assert minutes.logged_after(60) == [
        "last 3m: nothing new; nothing final yet, 0 alerts firing, 1 message waiting"
    ]

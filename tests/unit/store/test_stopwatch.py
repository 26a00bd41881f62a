"""Times of stages, as text and as fields of the log."""

from __future__ import annotations

import json
import logging

import pytest

from store.stopwatch import Stopwatch
from tracesieve.log import JsonFormatter


def test_stages_add_up_and_are_said_in_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter([0.0, 0.12, 0.128, 1.128])
    monkeypatch.setattr("store.stopwatch.time.perf_counter", lambda: next(now_s))
    watch = Stopwatch(_since=next(now_s))
    for stage in ("fetch", "append", "fetch"):
        watch.done(stage)
    assert str(watch) == "fetch 1120 ms, append 8 ms"
    assert watch.total_s == pytest.approx(1.128)
    record = logging.makeLogRecord({"msg": "landing", "args": (), **watch.extra})
    assert json.loads(JsonFormatter().format(record))["stages_ms"] == {"fetch": 1120.0, "append": 8.0}

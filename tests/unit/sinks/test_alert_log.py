"""The log line of an alert: once for each firing and resolution, and nothing in it that a trace could
forge.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sinks.alert_log import AlertLog
from sinks.delivery import Delivery
from store import open_store
from store.outbox import Outbox, OutboxMessage
from tracesieve.log import JsonFormatter


def message(status: str, **changes: Any) -> OutboxMessage:
    payload = {
        "status": status,
        "rule": "errors",
        "severity": "critical",
        "group": {"experiment": "shop"},
        "value": 0.25,
        "summary": "error_rate > 0.1 is met",
        "evidence": ["tr-1", "tr-2"],
        "episode": "e1",
        "paged": True,
    }
    return OutboxMessage("alert_log", f"e1:{status}", {**payload, **changes})


def step(store_path: Path) -> None:
    Delivery(AlertLog(), Outbox(open_store(str(store_path)))).step(2)


def test_sem_16_each_firing_and_resolution_is_one_line_also_across_restarts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Outbox(open_store(str(tmp_path))).enqueue([message("firing"), message("resolved", evidence=[])], 1)
    with caplog.at_level(logging.INFO, "tracesieve.alerts"):
        for _ in range(3):
            step(tmp_path)
            Outbox(open_store(str(tmp_path))).enqueue(
                [message("firing"), message("resolved", evidence=[])], 2
            )
    assert [record.getMessage() for record in caplog.records] == [
        'FIRING errors (critical) experiment="shop": error_rate > 0.1 is met; see "tr-1", "tr-2"',
        'RESOLVED errors (critical) experiment="shop": error_rate > 0.1 is met',
    ]


def test_a_json_line_has_the_fields(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Outbox(open_store(str(tmp_path))).enqueue([message("firing", paged=False)], 1)
    with caplog.at_level(logging.INFO, "tracesieve.alerts"):
        step(tmp_path)
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert {
        key: line[key]
        for key in ("status", "rule", "severity", "group", "value", "evidence", "episode", "paged")
    } == {
        "status": "firing",
        "rule": "errors",
        "severity": "critical",
        "group": {"experiment": "shop"},
        "value": 0.25,
        "evidence": ["tr-1", "tr-2"],
        "episode": "e1",
        "paged": False,
    }
    assert "too old to page" in line["message"]


def test_a_groups_value_starts_no_line_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hostile = {"experiment": 'shop"\n2026-01-01 WARNING forged \x1b[2J\ud800'}
    Outbox(open_store(str(tmp_path))).enqueue([message("firing", group=hostile, evidence=["a\nb"])], 1)
    with caplog.at_level(logging.INFO, "tracesieve.alerts"):
        step(tmp_path)
    text = caplog.records[0].getMessage()
    assert "\n" not in text
    assert "\x1b" not in text
    text.encode()

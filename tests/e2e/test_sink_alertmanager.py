"""Alerts against a real Alertmanager."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from servers import free_port, needs, process

from sinks.alertmanager import Alertmanager, AlertmanagerConfig
from sinks.errors import RetryLater
from store.outbox import Pending

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = needs("prometheus-alertmanager", "alertmanager")
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    uri = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, f"--config.file={config}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with process(command, f"{uri}/-/ready", folder / "log"):
        yield uri


def _deliver(sink: Alertmanager, *wishes: Pending) -> None:
    for outcome in sink.deliver(wishes):
        if outcome.error is not None:
            raise outcome.error


def _wish(rule: str, status: str, starts_us: int, seq: int = 0) -> Pending:
    payload = {"status": status, "rule": rule, "severity": "critical", "by": "experiment",
               "group": {"experiment": "shop", "x": ""},
               "starts_us": starts_us, "resolved_us": time.time_ns() // 1000 if status == "resolved" else None, "value": 0.25,
               "condition": "error_rate > 0.05", "summary": "errors", "evidence": ["tr-1"], "episode": "e1"}  # fmt: skip
    return Pending("alertmanager", rule, payload, seq)


def _alerts(uri: str, rule: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/alerts", timeout=10).json()
    return [alert for alert in found if alert["labels"]["alertname"] == rule]


def test_an_alert_fires_once_however_often_it_is_posted_and_resolves(server: str) -> None:
    sink = Alertmanager([AlertmanagerConfig(url=server)])
    now = time.time_ns() // 1000
    for seq in range(2):
        _deliver(sink, _wish("rate-high", "firing", now - 60_000_000, seq))
    (alert,) = _alerts(server, "rate-high")
    assert alert["labels"] == {"alertname": "rate-high", "severity": "critical", "experiment": "shop"}
    assert alert["annotations"]["evidence"] == "tr-1"
    _deliver(sink, _wish("rate-high", "resolved", now - 60_000_000))
    assert _alerts(server, "rate-high") == []


def test_a_firing_alert_is_posted_again_each_minute_with_a_later_end(server: str) -> None:
    start = now = time.time_ns() // 1000
    sink = Alertmanager([AlertmanagerConfig(url=server)], lambda: now)
    wish = _wish("slow", "firing", start - 60_000_000)
    _deliver(sink, wish)
    first = _alerts(server, "slow")[0]["endsAt"]
    sink.resend({wish.target: wish.payload})
    assert _alerts(server, "slow")[0]["endsAt"] == first
    now += 61_000_000
    sink.resend({wish.target: wish.payload})
    assert _alerts(server, "slow")[0]["endsAt"] > first


def test_a_resolved_alert_is_posted_again_for_five_minutes(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = now = time.time_ns() // 1000
    sink = Alertmanager([AlertmanagerConfig(url=server)], lambda: now)
    posts: list[Any] = []
    post = requests.post

    def noted(url: str, **more: Any) -> requests.Response:
        posts.append(more["json"])
        return post(url, **more)

    monkeypatch.setattr("sinks.alertmanager.requests.post", noted)
    _deliver(sink, _wish("over", "resolved", start - 60_000_000))
    for minute in range(1, 9):
        now = start + minute * 60_500_000
        sink.resend({})
    assert len(posts) == 1 + 4
    assert len({post[0]["endsAt"] for post in posts}) == 1


def test_every_instance_must_take_it(server: str) -> None:
    sink = Alertmanager([AlertmanagerConfig(url="http://127.0.0.1:9"), AlertmanagerConfig(url=server)])
    with pytest.raises(RetryLater):
        _deliver(sink, _wish("partial", "firing", time.time_ns() // 1000))
    assert len(_alerts(server, "partial")) == 1

"""Alerts against real Alertmanagers: plain, with TLS and a login, absent, restarted, and one of two."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from support.servers import PASSWORD, alertmanager, free_port, self_signed

from sinks.alertmanager import Alertmanager, AlertmanagerConfig
from sinks.delivery import Delivery
from sinks.errors import Refused, RetryLater
from store import open_store
from store.outbox import Outbox, OutboxMessage, PendingMessage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as uri:
        yield uri


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def _sink(*urls: str, clock: Any = None, **login: Any) -> Alertmanager:
    configs = [AlertmanagerConfig(url=url, **login) for url in urls]
    return Alertmanager(configs) if clock is None else Alertmanager(configs, clock)


def _deliver(sink: Alertmanager, *messages: PendingMessage) -> None:
    for outcome in sink.deliver(messages):
        if outcome.error is not None:
            raise outcome.error


def _payload(rule: str, status: str, starts_us: int) -> dict[str, Any]:
    return {
        "status": status,
        "rule": rule,
        "severity": "critical",
        "group": {"experiment": "shop", "x": ""},
        "starts_us": starts_us,
        "resolved_us": time.time_ns() // 1000 if status == "resolved" else None,
        "value": 0.25,
        "condition": "error_rate > 0.05",
        "summary": "errors",
        "evidence": ["tr-1"],
        "episode": "e1",
    }


def _message(rule: str, status: str, starts_us: int, seq: int = 0) -> PendingMessage:
    return PendingMessage("alertmanager", rule, _payload(rule, status, starts_us), seq)


def _alerts(uri: str, rule: str, **access: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/alerts", timeout=10, **access).json()
    return [alert for alert in found if alert["labels"]["alertname"] == rule]


def test_sem_21_an_alert_fires_once_however_often_it_is_posted_and_resolves(server: str) -> None:
    sink = _sink(server)
    now = time.time_ns() // 1000
    for seq in range(2):
        _deliver(sink, _message("rate-high", "firing", now - 60_000_000, seq))
    (alert,) = _alerts(server, "rate-high")
    assert alert["labels"] == {"alertname": "rate-high", "severity": "critical", "experiment": "shop"}
    assert alert["annotations"]["evidence"] == "tr-1"
    _deliver(sink, _message("rate-high", "resolved", now - 60_000_000))
    assert _alerts(server, "rate-high") == []


def test_a_firing_alert_is_posted_again_each_minute_with_a_later_end(server: str) -> None:
    start = now = time.time_ns() // 1000
    sink = _sink(server, clock=lambda: now)
    message = _message("slow", "firing", start - 60_000_000)
    _deliver(sink, message)
    first = _alerts(server, "slow")[0]["endsAt"]
    sink.resend({message.target: message.payload})
    assert _alerts(server, "slow")[0]["endsAt"] == first
    now += 61_000_000
    sink.resend({message.target: message.payload})
    assert _alerts(server, "slow")[0]["endsAt"] > first


def test_a_resolved_alert_is_posted_again_for_five_minutes(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now = time.time_ns() // 1000
    sink = _sink(server, clock=lambda: now)
    posts: list[Any] = []
    request = requests.request

    def noted(method: str, url: str, **more: Any) -> requests.Response:
        posts.append(more["json"])
        return request(method, url, **more)

    monkeypatch.setattr(requests, "request", noted)
    _deliver(sink, _message("over", "resolved", start - 60_000_000))
    for minute in range(1, 9):
        now = start + minute * 60_500_000
        sink.resend({})
    assert len(posts) == 1 + 4
    assert len({post[0]["endsAt"] for post in posts}) == 1


def test_an_instance_that_is_down_delays_nothing_at_the_others_and_is_served_when_it_is_back(
    server: str, tmp_path: Path
) -> None:
    port = free_port()
    outbox = Outbox(open_store(str(tmp_path / "store")))
    now = time.time_ns() // 1000
    sink = _sink(f"http://127.0.0.1:{port}", server)
    delivery = Delivery(sink, outbox)
    outbox.enqueue([OutboxMessage("alertmanager", "first", _payload("first", "firing", now))], now)
    assert delivery.step(now) == 0
    assert len(_alerts(server, "first")) == 1
    (row,) = outbox.rows()
    assert row["outcome"] == "retry"
    assert str(port) in row["detail"]
    outbox.enqueue([OutboxMessage("alertmanager", "second", _payload("second", "firing", now))], now)
    delivery.step(now)  # no back-off of the sink as a whole: a new alert is posted at once where it can be
    assert len(_alerts(server, "second")) == 1
    with alertmanager(tmp_path / "late", port) as late:
        deadline = time.monotonic() + 60
        while outbox.count() and time.monotonic() < deadline:
            delivery.step(now)
            time.sleep(0.2)
        assert outbox.count() == 0
        assert [len(_alerts(late, rule)) for rule in ("first", "second")] == [1, 1]


def test_an_alertmanager_that_was_restarted_knows_the_alert_again_after_a_minute(tmp_path: Path) -> None:
    port, now = free_port(), time.time_ns() // 1000
    sink = _sink(f"http://127.0.0.1:{port}", clock=lambda: now)
    message = _message("still-firing", "firing", now - 60_000_000)
    with alertmanager(tmp_path / "one", port) as uri:
        _deliver(sink, message)
        assert len(_alerts(uri, "still-firing")) == 1
    now += 61_000_000
    with pytest.raises(RetryLater, match=str(port)):
        sink.resend({message.target: message.payload})
    sink.resend({message.target: message.payload})  # within the back-off: not tried, not raised again
    with alertmanager(tmp_path / "two", port) as uri:
        assert _alerts(uri, "still-firing") == []
        now += 31_000_000
        sink.resend({message.target: message.payload})
        assert len(_alerts(uri, "still-firing")) == 1


def test_tls_and_basic_auth_of_a_real_alertmanager(
    certificate: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AM_PASSWORD", PASSWORD + "\n")
    monkeypatch.setenv("AM_WRONG", "other")
    login = {"username": "prom", "password_env": "AM_PASSWORD", "ca_file": certificate[0]}
    with alertmanager(tmp_path, certificate=certificate) as uri:
        message = _message("safe", "firing", time.time_ns() // 1000)
        with pytest.raises(RetryLater, match="certificate verify failed"):
            _deliver(_sink(uri, **{**login, "ca_file": None}), message)
        outbox, counted = Outbox(open_store(str(tmp_path / "store"))), list[tuple[str, str, int]]()
        outbox.enqueue([OutboxMessage(message.sink, message.target, message.payload)], 1)
        wrong = _sink(uri, **{**login, "password_env": "AM_WRONG"})
        assert Delivery(wrong, outbox, lambda *one: counted.append(one)).step(2) == 0
        assert counted == [("alertmanager", "retry", 1)]
        assert "HTTP 401: it does not let us in" in outbox.rows()[0]["detail"]
        assert Delivery(_sink(uri, **login), outbox).step(3) == 1
        assert len(_alerts(uri, "safe", auth=("prom", PASSWORD), verify=certificate[0])) == 1


class _Asks(http.server.BaseHTTPRequestHandler):
    """An HTTPS gate before an Alertmanager: lets in who bears the token, sends the rest elsewhere or away."""

    answer = 200
    seen: list[str | None] = []  # noqa: RUF012 - one server, one test

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.headers["Authorization"])
        self.send_response(self.answer if self.headers["Authorization"] == "Bearer s3cret" else 403)
        self.send_header("Location", "https://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def gate(certificate: tuple[str, str]) -> Iterator[str]:
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Asks)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_a_bearer_token_over_https_and_what_each_refusal_means(
    gate: str, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AM_TOKEN", "s3cret")
    monkeypatch.setenv("AM_OLD_TOKEN", "old")
    login = {"ca_file": certificate[0], "token_env": "AM_TOKEN"}
    message = _message("gate", "firing", time.time_ns() // 1000)
    _deliver(_sink(gate, **login), message)
    assert _Asks.seen == ["Bearer s3cret"]
    with pytest.raises(RetryLater, match="HTTP 403"):
        _deliver(_sink(gate, **{**login, "token_env": "AM_OLD_TOKEN"}), message)
    for code, error, problem in (
        (302, RetryLater, "points elsewhere"),
        (503, RetryLater, "HTTP 503"),
        (400, Refused, "HTTP 400"),
    ):
        monkeypatch.setattr(_Asks, "answer", code)
        with pytest.raises(error, match=problem):
            _deliver(_sink(gate, **login), message)


def test_a_refused_alert_spoils_no_other(server: str) -> None:
    now = time.time_ns() // 1000
    bad = _message("bad", "firing", now)
    bad.payload["group"] = {"no-label-name": "x"}
    outcomes = _sink(server).deliver([_message("good", "firing", now), bad])
    assert [type(one.error) for one in outcomes] == [type(None), Refused]
    assert len(_alerts(server, "good")) == 1


def test_sem_26_an_alert_of_a_run_once_outlasts_the_next_one(server: str) -> None:
    quarter_us = 15 * 60 * 1_000_000
    sink = Alertmanager([AlertmanagerConfig(url=server)], once_every_us=quarter_us)
    now_us = time.time_ns() // 1000
    _deliver(sink, PendingMessage("alertmanager", "once", _payload("sometimes", "firing", now_us), 1))
    alerts = requests.get(f"{server}/api/v2/alerts", timeout=10).json()
    (found,) = [one for one in alerts if one["labels"]["alertname"] == "sometimes"]
    ends_us = datetime.fromisoformat(found["endsAt"]).timestamp() * 1e6
    assert 2 * quarter_us < ends_us - now_us < 3 * quarter_us

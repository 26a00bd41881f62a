"""The metrics server as a client meets it: login, TLS, slow clients, unknown paths, a taken port."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError
from support.servers import free_port, self_signed

from sinks.errors import BadCertificate, PortInUse
from sinks.http.server import MetricsConfig, serve
from sinks.prometheus.state import MetricsState

Serving = Callable[..., str]


@pytest.fixture
def serving() -> Iterator[Serving]:
    servers: list[Any] = []

    def started(ready: bool = True, **config: Any) -> str:
        made = MetricsConfig(listen=f"127.0.0.1:{free_port()}", **config)
        servers.append(serve(made, MetricsState(["experiment"]).registry(), lambda: ready))
        return made.url

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_paths_methods_and_formats(serving: Serving) -> None:
    url = serving()
    plain = requests.get(f"{url}/metrics", timeout=5)
    assert (plain.status_code, plain.headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    asked = requests.get(
        f"{url}/metrics?x=1", headers={"Accept": "application/openmetrics-text; version=1.0.0"}, timeout=5
    )
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")
    assert list(text_string_to_metric_families(asked.text))
    head = requests.head(f"{url}/metrics", timeout=5)
    assert (head.status_code, head.content, int(head.headers["Content-Length"]) > 0) == (200, b"", True)
    assert requests.get(f"{url}/../etc/passwd", timeout=5).status_code == 404
    assert requests.get(f"{url}/healthz", timeout=5).text == "ok\n"
    assert requests.post(f"{url}/metrics", timeout=5).status_code == 501


def test_it_is_ready_only_when_it_watches(serving: Serving) -> None:
    assert requests.get(f"{serving(ready=False)}/readyz", timeout=5).status_code == 503
    assert requests.get(f"{serving(ready=True)}/readyz", timeout=5).status_code == 200


def test_a_login_is_asked_for_but_not_by_probes(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_PASSWORD", "pässword\n")
    url = serving(username="prom", password_env="METRICS_PASSWORD")
    good = (b"prom", "pässword".encode())
    assert requests.get(f"{url}/metrics", auth=good, timeout=5).status_code == 200
    for wrong in (None, ("prom", "other"), ("", ""), ("prom", "")):
        answer = requests.get(f"{url}/metrics", auth=wrong, timeout=5)
        assert (answer.status_code, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        assert "tracesieve_" not in answer.text
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 200
    monkeypatch.setenv("METRICS_PASSWORD", "")
    assert requests.get(f"{url}/metrics", auth=("prom", ""), timeout=5).status_code == 401


def test_tls_and_what_is_not_tls(serving: Serving, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    url = serving(tls_cert=cert, tls_key=key)
    assert requests.get(f"{url}/healthz", verify=cert, timeout=5).text == "ok\n"
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{url}/healthz", timeout=5)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url.replace("https", "http"), timeout=5)
    assert requests.get(f"{url}/metrics", verify=cert, timeout=5).status_code == 200


@pytest.mark.parametrize("tls", [False, True])
def test_slow_and_silent_clients_block_nobody(
    serving: Serving, certificate: tuple[str, str], tls: bool
) -> None:
    cert, key = certificate
    url = serving(tls_cert=cert, tls_key=key) if tls else serving()
    port = int(url.rsplit(":", 1)[1])
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        for one in slow[:10]:
            one.sendall(b"GET /metrics HT")
        began = time.monotonic()
        assert requests.get(f"{url}/metrics", verify=cert if tls else None, timeout=5).status_code == 200
        assert time.monotonic() - began < 4
    finally:
        for one in slow:
            one.close()


def test_a_port_in_use_and_bad_certificates_are_the_users_mistakes(serving: Serving, tmp_path: Path) -> None:
    listen = serving().removeprefix("http://")
    registry = MetricsState([]).registry()
    with pytest.raises(
        PortInUse, match=rf"metrics\.listen: {listen} cannot be had: .*choose another port"
    ) as taken:
        serve(MetricsConfig(listen=listen), registry, lambda: True)
    assert taken.value.exit_code == 2
    bad = tmp_path / "cert.pem"
    bad.write_text("no certificate")
    with pytest.raises(BadCertificate, match="cannot be used"):
        serve(MetricsConfig(listen=f"127.0.0.1:{free_port()}", tls_cert=str(bad)), registry, lambda: True)
    with pytest.raises(ValidationError, match="go together"):
        MetricsConfig(username="prom")
    assert MetricsConfig().listen.startswith("127.0.0.1:")


def test_a_free_port_is_taken_where_none_is_named_and_the_url_has_it() -> None:
    server = serve(MetricsConfig(listen="127.0.0.1:0"), MetricsState([]).registry(), lambda: True)
    try:
        assert server.server_port and server.url == f"http://127.0.0.1:{server.server_port}"
        assert requests.get(f"{server.url}/healthz", timeout=5).text == "ok\n"
    finally:
        server.shutdown()
        server.server_close()

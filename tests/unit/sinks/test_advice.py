"""What a person reads when a call fails: the address, the port, TLS, the login, the status and the answer."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.servers import free_port, self_signed

from sinks.credentials import Login
from sinks.errors import Refused, RetryLater
from sinks.http.client import deliver

KEY = "alerts.alertmanager"


@contextmanager
def server(
    status: int = 200, body: str = "", certificate: tuple[str, str] | None = None, **headers: str
) -> Iterator[str]:
    """One that gives every POST the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{serving.server_address[1]}"
    finally:
        serving.shutdown()
        serving.server_close()


def advice(url: str, login: Login | None = None) -> str:
    with pytest.raises((RetryLater, Refused)) as failed:
        deliver("POST", url, login or Login(), {}, KEY)
    assert isinstance(failed.value, RetryLater | Refused)
    (line,) = failed.value.advice
    return line


def test_a_port_that_nobody_listens_at_and_a_name_that_is_no_host() -> None:
    port = free_port()
    refused = (
        f"connection refused: nothing listens at 127.0.0.1:{port}: start it, or correct the port in {KEY}"
    )
    assert advice(f"http://127.0.0.1:{port}/api") == refused
    unknown = advice("http://no-such-host.invalid:9093/api")
    assert unknown == f"there is no host no-such-host.invalid: correct the name in {KEY}"


def test_tls_where_there_is_none_and_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    with server() as place:
        assert advice(f"https://{place}").startswith("TLS fails (")
        assert advice(f"https://{place}").endswith(f"if it speaks none, write http:// in {KEY}")
    certificate = self_signed(tmp_path)
    with server(certificate=certificate) as place:
        line = advice(f"https://{place}")
        assert line.startswith("its certificate is not trusted (self")
        assert line.endswith(f"name the CA's certificate as ca_file in {KEY}")
        other = f"https://localhost:{place.rpartition(':')[2]}"
        line = advice(other, Login(ca_file=certificate[0]))
        assert line.startswith("its certificate is that of another name")
        assert "is it https://?" in advice(f"http://{place}")


@pytest.mark.parametrize(
    ("login", "mend"),
    [
        (Login(), "it wants a login: set username and password_env, or token_env, in"),
        (Login(token_env="AM_TOKEN"), "correct the secret in AM_TOKEN ("),
        (Login(username="prom", password_env="AM_PW"), "correct the secret in AM_PW (user prom, "),
    ],
)
def test_a_login_that_is_missing_or_wrong(login: Login, mend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AM_TOKEN", "t0ken")
    monkeypatch.setenv("AM_PW", "t0ken")
    for status in (401, 403):
        with server(status) as place:
            line = advice(f"http://{place}", login)
            assert line.startswith(f"HTTP {status}: it does not let us in: {mend}")
            assert "t0ken" not in line


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (400, "\n bad matcher\nmore", "HTTP 400: bad matcher"),
        (400, "", "HTTP 400"),
        (400, "x" * 500, "HTTP 400: " + "x" * 200),
        (500, '"out of disk"', "HTTP 500: out of disk (see its log)"),
        (
            404,
            "no page",
            f"HTTP 404: no page: this address has no such API: correct host, port and path in {KEY}",
        ),
    ],
)
def test_the_status_and_the_answers_first_line(status: int, body: str, line: str) -> None:
    with server(status, body) as place:
        assert advice(f"http://{place}") == line


def test_where_it_points_to() -> None:
    with server(301, Location="https://am.example.com/") as place:
        assert advice(f"http://{place}").endswith(f"in {KEY}: https://am.example.com/")


def test_the_answer_is_in_no_message_that_is_logged_or_kept() -> None:
    with server(400, "customer 4711") as place, pytest.raises(Refused) as failed:
        deliver("POST", f"http://{place}", Login(), {}, KEY)
    assert str(failed.value) == "HTTP 400"

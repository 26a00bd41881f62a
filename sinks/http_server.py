"""At every scrape the present state, nothing twice: the HTTP side of ``/metrics``, ``/healthz`` and ``/readyz``.

Listens on 127.0.0.1 unless told otherwise; basic auth and TLS for those who open it to a network.
"""

from __future__ import annotations

import base64
import hmac
import os
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict, Field

from sinks.errors import SinkError


class MetricsConfig(BaseModel):
    """Where to listen, and who may ask; the password is in the environment variable ``password_env``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(default="127.0.0.1:9464", pattern=r"^\S+:\d{1,5}$")
    username: str | None = None
    password_env: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None


class PortInUse(SinkError):  # noqa: N818
    """The listen address cannot be had."""

    exit_code = 2


class NoPassword(SinkError):  # noqa: N818
    """A user name without a password would let everyone in."""

    exit_code = 2


def serve(config: MetricsConfig, registry: CollectorRegistry, ready: Callable[[], bool]) -> ThreadingHTTPServer:
    """Serve in a thread of its own until ``shutdown()``.

    Raises:
        NoPassword: a user name is set and its password is not.
        PortInUse: the address cannot be had; the message names it and the key to change.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not _allowed(config, self.headers.get("Authorization", "")):
                self._answer(401, "text/plain", b"login needed\n", {"WWW-Authenticate": 'Basic realm="tracesieve"'})
            elif self.path.split("?")[0] == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, kind, encode(registry))
            elif self.path == "/healthz":
                self._answer(200, "text/plain", b"ok\n")
            elif self.path == "/readyz":
                self._answer(*((200, "text/plain", b"ready\n") if ready() else (503, "text/plain", b"starting\n")))
            else:
                self._answer(404, "text/plain", b"/metrics /healthz /readyz\n")

        def _answer(self, code: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a log line."""

    if config.username is not None and not os.environ.get(config.password_env or ""):
        raise NoPassword("metrics.password_env: name an environment variable that holds the password (it is unset or empty)")
    host, _, port = config.listen.rpartition(":")
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise PortInUse(f"metrics.listen: {config.listen} cannot be had: {error.strerror} (choose another port)") from error
    server.daemon_threads = True
    if config.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.tls_cert, config.tls_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _allowed(config: MetricsConfig, header: str) -> bool:
    if config.username is None:
        return True
    secret = f"{config.username}:{os.environ.get(config.password_env or '', '')}"
    wanted = "Basic " + base64.b64encode(secret.encode()).decode()
    return hmac.compare_digest(wanted.encode(), header.encode())

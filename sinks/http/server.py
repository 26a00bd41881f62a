"""At every scrape the present state, nothing twice: the HTTP side of ``/metrics``, ``/healthz`` and
``/readyz``.

It listens on 127.0.0.1 by default, with basic auth and TLS for those who open it to a network.  ``/healthz``
and ``/readyz`` answer one word and need no login, as probes expect.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sinks.credentials import missing, secret
from sinks.errors import BadCertificate, PortInUse
from sinks.http.buckets import BUCKETS_S, BucketsS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)
_LISTEN = re.compile(r"\S+:[0-9]{1,5}")
_LAST_PORT = 65_535
CLIENT_S = 10.0  # how long a client may keep us waiting


class MetricsConfig(BaseModel):
    """Where to listen, and who may ask; the password is in the environment variable ``password_env``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(
        default="127.0.0.1:9464", description="HOST:PORT; port 0: a free one, which the log names"
    )
    username: str | None = Field(
        default=None, description="who may ask for /metrics; absent: anyone who can reach it"
    )
    password_env: str | None = Field(
        default=None, description="the environment variable that holds the password"
    )
    tls_cert: str | None = Field(default=None, description="a certificate file, for https")
    tls_key: str | None = Field(default=None, description="its key, if that is in a file of its own")

    buckets_s: BucketsS = Field(
        default=BUCKETS_S, description="where the buckets of trace durations end, s; longer ones are in +Inf"
    )

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if not _LISTEN.fullmatch(value) or int(value.rpartition(":")[2]) > _LAST_PORT:
            raise ValueError("HOST:PORT is expected, such as 127.0.0.1:9464")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> MetricsConfig:
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key needs tls_cert")
        return self

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host, _, port = self.listen.rpartition(":")
        host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 - compared, not listened on
        return f"http{'s' if self.tls_cert else ''}://{host}:{port}"

    def missing(self) -> dict[str, str]:
        """What the environment does not have, by key."""
        return missing(
            {"password_env": self.password_env}, {"tls_cert": self.tls_cert, "tls_key": self.tls_key}
        )


class MetricsServer(ThreadingHTTPServer):
    """Serves one registry; its threads share nothing but the registry, which is safe to read from any."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry, ready: Callable[[], bool]) -> None:
        host, _, port = config.listen.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.config, self.registry, self.ready = config, registry, ready
        self._tls = _tls(config)
        super().__init__((host, int(port)), _Handler)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it: with the port that was taken, where 0 was asked for."""
        return f"{self.config.url.rpartition(':')[0]}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def get_request(self) -> tuple[Any, Any]:
        """Accept; the TLS handshake is left to the connection's own thread, where a slow client blocks
        nobody.
        """
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up or speaks no TLS is its own affair."""
        log.debug("metrics: %s ended early: %s", client_address, sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = CLIENT_S
    server_version, sys_version = "tracesieve", ""

    def do_GET(self) -> None:
        """Answer by path; only ``/metrics`` and paths that there are not ask for the login."""
        from prometheus_client.exposition import choose_encoder

        path = self.path.split("?")[0]
        if path == "/healthz":
            self._answer(200, "text/plain", b"ok\n")
        elif path == "/readyz":
            ready = self.server.ready()
            self._answer(200 if ready else 503, "text/plain", b"ready\n" if ready else b"starting\n")
        elif not _allowed(self.server.config, self.headers.get("Authorization", "")):
            login = {"WWW-Authenticate": 'Basic realm="tracesieve"'}
            self._answer(401, "text/plain", b"login needed\n", login)
        elif path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, kind, encode(self.server.registry))
        else:
            self._answer(404, "text/plain", b"/metrics /healthz /readyz\n")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _answer(self, code: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a log line."""


def serve(config: MetricsConfig, registry: CollectorRegistry, ready: Callable[[], bool]) -> MetricsServer:
    """Serve in a thread of its own until ``shutdown()``.

    Raises:
        BadCertificate: the certificate or its key cannot be used.
        PortInUse: the address cannot be had; the message names it and the key to change.
    """
    try:
        server = MetricsServer(config, registry, ready)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PortInUse(
            f"metrics.listen: {config.listen} cannot be had: {why} (choose another port)"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _tls(config: MetricsConfig) -> ssl.SSLContext | None:
    if not config.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise BadCertificate(f"metrics.tls_cert: {config.tls_cert} cannot be used: {error}") from error
    return context


def _allowed(config: MetricsConfig, header: str) -> bool:
    if config.username is None:
        return True
    wanted = "Basic " + base64.b64encode(f"{config.username}:{secret(config.password_env)}".encode()).decode()
    return bool(secret(config.password_env)) and hmac.compare_digest(
        wanted.encode(), header.encode("utf-8", "replace")
    )

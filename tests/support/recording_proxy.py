"""A reverse proxy in front of a real server that writes down every request and lets a test act while one is
answered; and a server that gives one answer to everything.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import requests

# What MLflow reads with a POST: searches, counts, listings.
_READING_POSTS = re.compile(r"/(search|metrics|get-history|batchGet|batchGetInfos|search-sessions)(\?|$)")
Answered = Callable[[str, bytes], None]


@dataclass
class Recording:
    """The address to talk to, and the ``METHOD path`` of every request so far."""

    uri: str = ""
    calls: list[str] = field(default_factory=list)
    on_answer: Answered = lambda _path, _body: None  # called before the answer is passed on

    def writes(self) -> list[str]:
        """The requests that can change something on the server."""
        found = []
        for call in self.calls:
            method, path = call.split(" ", 1)
            if method not in ("GET", "HEAD", "OPTIONS") and not (
                method == "POST" and _READING_POSTS.search(path)
            ):
                found.append(call)
        return found


@contextmanager
def recording_proxy(upstream: str) -> Iterator[Recording]:
    """Pass requests on to ``upstream`` until the block ends."""
    recording = Recording()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            recording.calls.append(f"{self.command} {self.path}")
            headers = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("host", "content-length", "connection")
            }
            headers["Accept-Encoding"] = "identity"
            answer = requests.request(
                self.command, upstream + self.path, data=body, headers=headers, timeout=60
            )
            recording.on_answer(self.path, answer.content)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    recording.uri = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield recording
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def answering(status: int, body: str, headers: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """The address of a server that gives one answer to everything, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

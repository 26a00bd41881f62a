"""A real HTTP server that keeps what is posted to it, and hangs on demand."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class WebHook:
    """Every JSON body that was posted, with its headers; ``let_through`` is cleared to let requests hang."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.let_through = threading.Event()
        self.let_through.set()
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.receive(body, dict(self.headers.items()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def receive(self, body: Any, headers: dict[str, str]) -> None:
        with self._lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        self.let_through.wait(60)
        with self._lock:
            self.under_way -= 1
            self.bodies.append(body)
            self.headers.append(headers)


@contextmanager
def web_hook(port: int = 0) -> Iterator[WebHook]:
    """Serve until the block ends."""
    made = WebHook(port)
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        made.let_through.set()
        made.server.shutdown()
        made.server.server_close()

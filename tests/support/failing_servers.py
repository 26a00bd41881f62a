"""Servers that fail in each of the ways in which a server fails: an error, a wait, silence, nobody there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from support.recording_proxy import answering
from support.servers import free_port


@contextmanager
def hanging() -> Iterator[str]:
    """It takes every connection and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    """Nobody listens."""
    yield f"http://127.0.0.1:{free_port()}"


FAILING: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "error": lambda: answering(500, "broken"),
    "wait": lambda: answering(503, "busy", {"Retry-After": "3600"}),
    "silence": hanging,
    "nobody": refusing,
}

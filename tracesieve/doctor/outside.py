"""What a run talks to: the source, the outside systems of its sinks, and its own metrics port."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from streams.errors import SourceError
from tracesieve.doctor.check import TIMEOUT_S, Check, one_line

if TYPE_CHECKING:
    from sinks.base import Sink
    from tracesieve.config.settings import Settings


def source(settings: Settings) -> Iterator[Check]:
    """Whether the source can be read as it is."""
    try:
        found = settings.source.probe(settings.place, TIMEOUT_S)
    except SourceError as error:
        yield Check("source", "fail", error.brief or one_line(error), error.hint)
    else:
        details = dict(found.details)
        if found.problems:
            hint = "correct `source:` in the config, or the source"
            yield Check("source", "warn", "; ".join([found.found, *found.problems]), hint, details)
        else:
            yield Check("source", "ok", found.found, details=details)


def sinks(settings: Settings) -> Iterator[tuple[str, Callable[[], Iterable[Check]]]]:
    """A check for each sink there is, and one for whether anybody is paged."""
    from sinks import registry

    for name, sink in registry.SINKS.items():
        yield name, partial(_sink, sink, settings)
    yield "alerts", partial(_receivers, settings)


def _sink(sink: type[Sink], settings: Settings) -> Iterator[Check]:
    for probe in sink.probe(settings.sinks, TIMEOUT_S):
        yield Check(probe.name, probe.status, probe.found, probe.hint)


def _receivers(settings: Settings) -> Iterator[Check]:
    """Whether alerts leave this machine."""
    from sinks import registry

    names = ", ".join(registry.receivers(settings.sinks))
    yield Check("alerts", "ok", f"sent to {names}" if names else "logged and listed; nobody is paged")


def metrics(settings: Settings) -> Iterator[Check]:
    """The port of ``/metrics``: free for a run to come, or served by the run there is."""
    from store.lease import holder

    if settings.metrics is None:
        yield Check("metrics", "ok", "not served (`metrics: null`)")
        return
    host, _, port = settings.metrics.listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
            yield Check("metrics", "ok", f"{settings.metrics.listen} is free")
            return
        except OSError as error:
            problem = error.strerror or type(error).__name__
    try:
        running = holder(settings.store_path)
    except Exception:  # noqa: BLE001 - a store that cannot be read has a check of its own
        running = None
    if running is not None and _answers(settings.metrics.url):
        yield Check(
            "metrics", "ok", f"{settings.metrics.url}/metrics is served by the run (pid {running.pid})"
        )
    else:
        hint = "end the program that has it, or set metrics: {listen: …} to another"
        yield Check("metrics", "fail", f"{settings.metrics.listen} cannot be had: {problem}", hint)


def _answers(url: str) -> bool:
    import ssl

    context = ssl.create_default_context()
    # all that is asked is whether our run answers
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False

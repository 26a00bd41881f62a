"""What a run talks to: the source, the outside systems of its sinks, and its own metrics port."""

from __future__ import annotations

import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tracesieve.doctor import TIMEOUT_S, Check, one_line

if TYPE_CHECKING:
    from sinks.base import Sink
    from streams.sources import DeltaTracesSource
    from tracesieve.config.settings import Settings


def _impatient() -> None:
    """MLflow's client retries for minutes by default; here a server that is down is an answer."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(int(TIMEOUT_S))


def source(settings: Settings) -> Iterator[Check]:
    """Whether the source can be read as it is."""
    from streams.errors import SourceDown, SourceError
    from streams.sources import MlflowSource
    from tracesieve.config.trace_table import table_uri

    _impatient()
    found = settings.source
    try:
        if isinstance(found, MlflowSource):
            names = found.check()
            told = ", ".join(f"{name} ({key})" for key, name in names.items())
            yield Check("source", "ok", f"{found.tracking_uri}: {told}", details={"experiments": names})
        else:
            yield _delta(table_uri(settings, found), found, settings)
    except SourceDown as error:
        uri = getattr(found, "tracking_uri", "")
        yield Check(
            "source",
            "fail",
            f"{uri}: {_why(error)}",
            "start the server, or mend source.tracking_uri or the login",
        )
    except SourceError as error:
        yield Check("source", "fail", one_line(error), "mend `source:` in the config, or the table")


def _why(error: Exception) -> str:
    """The part of a client's long error that a person needs."""
    match = re.search(
        r"Connection refused|timed out|[Nn]ame or service not known|No route to host", str(error)
    )
    return match[0].lower() if match else one_line(error)


def _delta(table: str, found: DeltaTracesSource, settings: Settings) -> Check:
    from deltalake import DeltaTable

    from streams.checkpoint import checkpoint_of
    from streams.sources.delta_traces.source import check, check_versions

    check(table, dict(found.columns))
    check_versions(table, checkpoint_of(settings.store_path))
    delta = DeltaTable(table)
    files = len(delta.file_uris())
    return Check(
        "source",
        "ok",
        f"{table}: version {delta.version()}, {files} files",
        details={"version": delta.version()},
    )


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
    from sinks.base import ALERT_KINDS

    wanted = [sink.name for sink in registry.wanted(settings.sinks, *ALERT_KINDS) if sink.outside]
    found = f"sent to {', '.join(wanted)}" if wanted else "logged and listed; nobody is paged"
    yield Check("alerts", "ok", found)


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
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether it is ours is asked
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False

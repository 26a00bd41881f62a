"""What a run talks to: the source, the MLflow server for tags and datasets, Alertmanagers, and its own
metrics port.
"""

from __future__ import annotations

import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracesieve.doctor import TIMEOUT_S, Check, one_line

if TYPE_CHECKING:
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

    from streams.query import checkpoint_of
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


def mlflow(settings: Settings) -> Iterator[Check]:
    """The server that tags and datasets go to, and whether it lets us in."""
    if settings.mlflow is None:
        yield Check("mlflow", "ok", "no `mlflow:` in the config: traces are not tagged")
        return
    _impatient()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = settings.mlflow.tracking_uri
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        code = str(getattr(error, "error_code", ""))
        denied = (
            code in ("UNAUTHENTICATED", "PERMISSION_DENIED")
            or "401" in str(error)[:200]
            or "403" in str(error)[:200]
        )
        if denied:
            hint = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            yield Check("mlflow", "fail", f"{uri} does not let us in", hint)
        else:
            yield Check(
                "mlflow", "fail", f"{uri}: {_why(error)}", "start the server, or mend mlflow.tracking_uri"
            )
        return
    yield Check("mlflow", "ok", f"{uri} answers")


def alertmanager(settings: Settings) -> Iterator[Check]:
    """Every Alertmanager of the config."""
    import requests

    from sinks.alertmanager import access

    for one in settings.alerts.alertmanager:
        url = f"{one.url.rstrip('/')}/api/v2/status"
        try:
            answer = requests.get(url, timeout=TIMEOUT_S, allow_redirects=False, **access(one))
            problem = "" if answer.status_code == 200 else f"HTTP {answer.status_code}"
            version = answer.json().get("versionInfo", {}).get("version", "?") if not problem else ""
        except (requests.RequestException, ValueError, OSError, AttributeError) as error:
            problem, version = _why(error) if isinstance(error, OSError) else type(error).__name__, ""
        if problem in ("HTTP 401", "HTTP 403"):
            hint = "see username, password_env and token_env in alerts.alertmanager"
            yield Check("alertmanager", "fail", f"{one.url} does not let us in ({problem})", hint)
        elif problem:
            yield Check(
                "alertmanager",
                "fail",
                f"{one.url}: {problem}",
                "start it, or mend alerts.alertmanager in the config",
            )
        else:
            yield Check("alertmanager", "ok", f"{one.url}: version {version}")
    if not settings.alerts.alertmanager:
        yield Check("alertmanager", "ok", "none in the config: alerts are logged and listed, nobody is paged")


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

"""An MLflow server for sinks: its client, what its errors mean for a message, and its probe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sinks.base import Probe
from sinks.errors import Refused, RetryLater
from sinks.http.client import NO_ACCESS, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

# Deliveries are repeated anyway: it is better to learn quickly that a server is down.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_FOR_GOOD = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "BAD_REQUEST")


def client(tracking_uri: str) -> MlflowClient:
    """A client that gives up soon, unless the environment says otherwise; for one thread."""
    from mlflow import MlflowClient

    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    return MlflowClient(tracking_uri)


def classify_error(error: MlflowException) -> RetryLater | Refused:
    """Whether MLflow's error is for good: a missing trace or a refused request is; a login that fails can be
    mended.
    """
    code = str(error.error_code)
    if code in _FOR_GOOD:
        return Refused(f"MLflow says {code}")
    if error.get_http_status_code() in NO_ACCESS:
        return RetryLater(
            f"MLflow refuses access ({code}): see MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN"
        )
    answered = _answered(error)
    return RetryLater(f"MLflow {'failed' if answered else 'cannot be reached'} ({code})", answered=answered)


def _answered(error: MlflowException) -> bool:
    """Whether the server gave an answer: one that the client understood, or one (429, 5xx) that it got again
    at each of its retries.
    """
    from mlflow.exceptions import RestException
    from requests.exceptions import RetryError

    return isinstance(error, RestException) or isinstance(error.__context__, RetryError)


def probe(tracking_uri: str, timeout_s: float) -> Probe:
    """Whether the server answers and lets us in."""
    # The client's own patience is minutes; here a server that is down is an answer.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(int(timeout_s))
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(tracking_uri).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.get_http_status_code() in NO_ACCESS:
            hint = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Probe("mlflow", "fail", f"{tracking_uri} does not let us in", hint)
        hint = "start the server, or correct mlflow.tracking_uri"
        return Probe("mlflow", "fail", f"{tracking_uri}: {reason(error)}", hint)
    return Probe("mlflow", "ok", f"{tracking_uri} answers")

"""An MLflow server for sinks: its client, what its errors mean for a message, and its probe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sinks.base import Probe
from sinks.errors import Refused, RetryLater
from sinks.http.client import NO_ACCESS, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

NO_SUCH_CALL = ("NOT_IMPLEMENTED", "ENDPOINT_NOT_FOUND")  # of an older server, or Databricks
_FOR_GOOD = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "BAD_REQUEST")


def client(tracking_uri: str) -> MlflowClient:
    """A client for one thread; how long it waits is said by the process (``tracesieve/patience.py``)."""
    from mlflow import MlflowClient

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
    if _answered(error):
        return RetryLater(f"MLflow failed ({_status(error) or code})", answered=True)
    return RetryLater(f"MLflow cannot be reached ({reason(error)})")


def _answered(error: MlflowException) -> bool:
    """Whether the server gave an answer: one that the client understood, or one (429, 5xx) that it got again
    at each of its retries.
    """
    from mlflow.exceptions import RestException
    from requests.exceptions import RetryError

    return isinstance(error, RestException) or isinstance(error.__context__, RetryError)


def _status(error: MlflowException) -> str:
    """``HTTP 503`` where the client got that answer at each of its retries; its code says nothing then."""
    from urllib3.exceptions import MaxRetryError, ResponseError

    cause = error.__context__
    while cause is not None and not isinstance(cause, MaxRetryError):
        cause = cause.__context__
    last = cause.reason if isinstance(cause, MaxRetryError) else None
    found = re.search(r"\b[45][0-9]{2}\b", str(last)) if isinstance(last, ResponseError) else None
    return f"HTTP {found[0]}" if found else ""


def probe(tracking_uri: str) -> Probe:
    """Whether the server answers and lets us in."""
    from mlflow.exceptions import MlflowException

    try:
        client(tracking_uri).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.get_http_status_code() in NO_ACCESS:
            hint = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Probe("mlflow", "fail", f"{tracking_uri} does not let us in", hint)
        hint = "start the server, or correct mlflow.tracking_uri"
        return Probe("mlflow", "fail", f"{tracking_uri}: {reason(error)}", hint)
    return Probe("mlflow", "ok", f"{tracking_uri} answers")

"""What MLflow's client raises, as errors of the source: by type, and by the error code that MLflow gives."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streams.errors import NoAccess, SourceDown, SourceRefuses, StreamsError

_LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_NO_ACCESS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"})
_BUSY = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})

# What MLflow's client raises besides its own errors where an answer is none that it knows.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def unreadable(uri: str, error: Exception) -> SourceDown:
    """The server answered, and its client breaks at that; only the type is said, the text may hold content of
    traces.
    """
    return SourceDown(
        f"source.tracking_uri: {uri}: MLflow's client cannot read the answer ({type(error).__name__})"
    )


def source_down(uri: str, error: Exception) -> SourceDown:
    """The error in one line that says what mends it."""
    from mlflow.exceptions import MlflowException

    place = f"source.tracking_uri: {uri}: "
    text = " ".join(str(error).split()).split(" Response body: ")[0][:400]
    if isinstance(error, NotImplementedError):
        return SourceRefuses(f"{place}there is no such call {text}".strip())
    code = error.error_code if isinstance(error, MlflowException) else ""
    if code in _NO_ACCESS:
        return NoAccess(f"{place}the server refuses access ({code}): set {_LOGIN} in the environment")
    if isinstance(error, json.JSONDecodeError) or _is_no_json(error):
        return SourceDown(
            f"{place}the answer is not an MLflow server's (is there a login page in front of it?)"
        )
    if reason := _why_no_answer(error):
        right = "(is the server up, and source.tracking_uri right?)"
        return SourceDown(f"{place}no answer ({reason}) {right}", f"{uri}: {reason[:1].lower()}{reason[1:]}")
    if _was_answered(error) and code not in _BUSY:
        return SourceRefuses(place + text)
    return SourceDown(place + text)  # busy; or MLflow's own, such as no credentials for Databricks


def _was_answered(error: Exception) -> bool:
    """Whether a server answered, with an error.

    MLflow raises ``RestException`` for an error in JSON. For any other answer it raises the same class as for
    its own errors, but with an error class of the server's side (``CP_…``), or none where it knows none for
    the code.
    """
    from mlflow.exceptions import MlflowException, RestException

    if not isinstance(error, MlflowException):
        return False
    of_server = error.error_class is None or error.error_class.startswith("CP_")
    return isinstance(error, RestException) or of_server


def _is_no_json(error: Exception) -> bool:
    """Whether the answer was a success in something other than JSON.

    MLflow gives this no class and no code of its own (``verify_rest_response``): its text is all there is.
    """
    return "not in a valid JSON format" in str(error)


def _why_no_answer(error: Exception) -> str:
    """Why no answer came, in a few words; empty where one came.

    MLflow puts the error of ``requests`` into the text of its own and keeps it as the cause or the context.
    """
    from requests.exceptions import RequestException, Timeout
    from urllib3.exceptions import ReadTimeoutError, ResponseError

    found = ""
    for one in _causes(error):
        if isinstance(one, Timeout | ReadTimeoutError | TimeoutError):
            return "timed out"
        if isinstance(one, ResponseError):  # the server answered each try with a failure
            return str(one)
        if isinstance(one, RequestException):
            found = found or type(one).__name__
        elif isinstance(one, OSError):
            return one.strerror or str(one)
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that led to it, up to one of our own: that was handled already."""
    one: BaseException | None = error
    while one is not None and not isinstance(one, StreamsError):
        yield one
        one = one.__cause__ or one.__context__

"""Calls to outside systems over HTTP: one request with a login, and what its failure means for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sinks.credentials import Login
from sinks.errors import Refused, RetryLater
from sinks.http import advice

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = 10.0
NO_ACCESS = (401, 403)


def call(method: str, url: str, login: Login, body: Any = None, timeout_s: float | None = None) -> Response:
    """Send one request, with ``body`` as JSON, and wait ``timeout_s`` for the answer (:data:`TIMEOUT_S` if
    None).  A redirect is not followed: a POST would become a GET.

    Raises:
        requests.RequestException: there was no answer.
    """
    import requests  # not needed by those who only read the config

    wait_s = TIMEOUT_S if timeout_s is None else timeout_s
    return requests.request(
        method, url, json=body, timeout=wait_s, allow_redirects=False, **login.as_arguments()
    )


def deliver(method: str, url: str, login: Login, body: Any, key: str) -> Response:
    """Send one request that delivers something; ``key`` is the config key of the login.

    Raises:
        RetryLater: the other side is down or busy, redirects, or does not let us in (a login can be mended).
        Refused: it will never take this (another 4xx).
    """
    import requests

    try:
        answer = call(method, url, login, body)
    except requests.RequestException as error:
        why = reason(error)
        mend = [advice.of_failure(error, url, why, key)]
        raise RetryLater(f"no answer ({why})", advice=mend) from error
    status = answer.status_code
    if 200 <= status < 300:
        return answer
    mend = [advice.of_answer(answer, login, key)]
    if status in NO_ACCESS:
        raise RetryLater(f"HTTP {status}: it does not let us in (see the login in {key})", advice=mend)
    if 300 <= status < 400:
        where = "it points elsewhere, and alerts do not follow (name the final address)"
        raise RetryLater(f"HTTP {status}: {where}", advice=mend)
    if status >= 500 or status in (408, 429):
        raise RetryLater(f"HTTP {status}", advice=mend)
    raise Refused(f"HTTP {status}", advice=mend)


def reason(error: BaseException) -> str:
    """Why there was no answer, in a few words: from the operating system's error, where one is behind it."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError):
            found.append("timed out")
        elif isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            found.append(cause.strerror.lower())
        cause = cause.__cause__ or cause.__context__
    lines = str(error).strip().splitlines()
    return found[-1] if found else (lines[0][:300] if lines else type(error).__name__)

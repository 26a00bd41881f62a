"""Calls that are made again: of an application or a scorer whose own model is busy for a moment.

The error is known by what it bears, as clients of models have it (``status_code``, or that of its
``response``), and by its type; never by its text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_LONGEST_WAIT_S = 60.0
_T = TypeVar("_T")
Sleep = Callable[[float], object]


def is_busy(status: int) -> bool:
    """Whether an HTTP status says: later."""
    return status in (408, 425, 429) or status >= 500


def wait_s(attempt: int, wanted_s: float | None = None) -> float:
    """How long to wait after a failed attempt (from 0): as the other side wants it, else doubling."""
    return min(2.0**attempt if wanted_s is None else wanted_s, _LONGEST_WAIT_S)


def retried(call: Callable[[], _T], retries: int, sleep: Sleep = time.sleep) -> _T:
    """What ``call`` gives; where it fails for the moment it is called again, at most ``retries`` times.

    Raises:
        Exception: what it raised at last, or what is no failure of the moment.
    """
    for attempt in range(retries):
        try:
            return call()
        except Exception as error:
            if not _is_of_the_moment(error):
                raise
            sleep(wait_s(attempt))
    return call()


def _is_of_the_moment(error: Exception) -> bool:
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return is_busy(status)
    return isinstance(error, TimeoutError | ConnectionError) or _is_of_requests(error)


def _is_of_requests(error: Exception) -> bool:
    import requests

    return isinstance(error, requests.Timeout | requests.ConnectionError)

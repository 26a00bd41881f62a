"""Addresses of servers, as config keys and command-line options take them.

One that lacks its ``http://`` is the commonest mistake: it is refused with what to write instead.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_EXPECTED, _EXAMPLE = "an address with http:// or https:// is expected", "http://127.0.0.1:9093"
_WEB = re.compile(r"https?://[^\s/]\S*")
_START = re.compile(r"(https?|[a-z]+:/)?:?/*", re.IGNORECASE)  # a scheme, or what was meant as one
_HOST = re.compile(r"(localhost|\d+(\.\d+){3}|\[[0-9a-fA-F:]+\])(:\d+)?(/\S*)?|[\w.-]+:\d+(/\S*)?")
_DOMAIN = re.compile(r"[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*\.[a-zA-Z]{2,}(/\S*)?")


def web_address(value: str) -> str:
    """An address that begins with ``http://`` or ``https://``, as it is.

    Raises:
        ValueError: it does not; the message says what to write, and not what was written.
    """
    text = value.strip()
    if _WEB.fullmatch(text):
        return text
    host = text[_begin(text) :]
    scheme = "https" if text.lower().startswith("https") else "http"
    if _HOST.fullmatch(host) or _DOMAIN.fullmatch(host) or re.fullmatch(r"[\w-]+", host):
        raise ValueError(f"{_EXPECTED}: write {scheme}://{host}")
    raise ValueError(f"{_EXPECTED}, such as {_EXAMPLE}")


def tracking_address(value: str) -> str:
    """A tracking URI of MLflow, as it is: it may also name Databricks, a database or a folder.

    Raises:
        ValueError: it looks like a server's address without its ``http://``; the message says what to write.
    """
    text = value.strip()
    if not text:
        raise ValueError(f"{_EXPECTED}, such as {_EXAMPLE}")
    if text.lower().startswith("http"):
        return web_address(text)
    if _HOST.fullmatch(text):
        raise ValueError(f"{_EXPECTED}: write http://{text}")
    if _DOMAIN.fullmatch(text):
        raise ValueError(f"{_EXPECTED}: write https://{text} (or ./{text} for a folder)")
    return text


def _begin(text: str) -> int:
    found = _START.match(text)
    end = found.end() if found else 0
    return end if "/" in text[:end] or ":" in text[:end] else 0


WebAddress = Annotated[str, AfterValidator(web_address)]
TrackingUri = Annotated[str, AfterValidator(tracking_address)]

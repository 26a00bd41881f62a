"""What to mend where a call over HTTP failed, in one line for a person: address, port, TLS, login.

It may quote the other side's answer, which may hold what a trace holds: it is shown to the one who asked,
and neither logged nor kept.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sinks.credentials import Login

if TYPE_CHECKING:
    from requests import Response

_LONGEST = 200
_PORTS = {"http": 80, "https": 443}
_OTHER_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_NO_ACCESS = (401, 403)
_NO_SUCH_PATH = (404, 405, 410)


def of_failure(error: BaseException, url: str, reason: str, key: str) -> str:
    """What to mend where no answer came; ``reason`` is why in a few words, ``key`` that of the config."""
    place = urlsplit(url)
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _of_certificate(one, key)
        if isinstance(one, ssl.SSLError):
            return f"TLS fails ({one.reason}): if it speaks none, write http:// in {key}"
        if isinstance(one, socket.gaierror):
            return f"there is no host {place.hostname}: correct the name in {key}"
        if isinstance(one, ConnectionRefusedError):
            where = f"{place.hostname}:{place.port or _PORTS.get(place.scheme, '')}"
            return f"connection refused: nothing listens at {where}: start it, or correct the port in {key}"
        if isinstance(one, TimeoutError):
            return f"timed out: correct the address in {key}, or let this machine through to it"
    scheme = "https" if place.scheme == "http" else "http"
    return f"{reason}: correct the address in {key}; is it {scheme}://?"


def _of_certificate(error: ssl.SSLCertVerificationError, key: str) -> str:
    if error.verify_code in _OTHER_NAME:
        return f"its certificate is that of another name: write the name that it has in {key}"
    return (
        f"its certificate is not trusted ({error.verify_message}): name the CA's certificate as ca_file in "
        f"{key}"
    )


def of_answer(answer: Response, login: Login, key: str) -> str:
    """What to mend where the answer is an error: its status, its first line, and what follows from them."""
    status = answer.status_code
    line = _first_line(answer)
    found = f"HTTP {status}" + (f": {line}" if line else "")
    if status in _NO_ACCESS:
        return f"HTTP {status}: it does not let us in: {_of_login(login, key)}"
    if 300 <= status < 400:
        return (
            f"HTTP {status}: write the address that it points to in {key}: {answer.headers.get('Location')}"
        )
    if status in _NO_SUCH_PATH:
        return f"{found}: this address has no such API: correct host, port and path in {key}"
    return f"{found} (see its log)" if status >= 500 else found


def _of_login(login: Login, key: str) -> str:
    variable = login.token_env or login.password_env
    if variable:
        user = f"user {login.username}, " if login.username else ""
        return f"correct the secret in {variable} ({user}{key})"
    return f"it wants a login: set username and password_env, or token_env, in {key}"


def _first_line(answer: Response) -> str:
    """The first line of the answer with anything in it."""
    lines = (line.strip() for line in answer.text.splitlines())
    return next((line for line in lines if line), "")[:_LONGEST].strip('"')


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The innermost first."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    yield from reversed(chain)

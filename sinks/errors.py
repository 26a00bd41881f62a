"""What can go wrong at an outside system.

::

    SinkError            exit 3
    ├── RetryLater       the other side is down or busy: the message waits and is tried again, for ever
    ├── Refused          the other side will never take it (404, other 4xx): a dead letter
    ├── PortInUse        exit 2: the address of /metrics cannot be had
    └── BadCertificate   exit 2: the certificate of /metrics or its key cannot be used
"""

from __future__ import annotations

from collections.abc import Sequence


class SinkError(Exception):
    """An outside system failed, or cannot be served as the config says.

    ``advice``: a line for each place that failed, with what to mend.  It may quote an answer: it is for the
    person who asked, not for the log.
    """

    exit_code = 3

    def __init__(self, message: str = "", *, advice: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.advice = tuple(advice)


class RetryLater(SinkError):  # noqa: N818
    """Try again; nothing is wrong with the message.

    ``partly``: others of several instances took it, so the sink works.  ``answered``: the other side is
    there, and failed; so it may be this message alone that it fails on.  ``local``: the failure is on our
    side, at this message.
    """

    def __init__(
        self,
        message: str,
        *,
        partly: bool = False,
        answered: bool = False,
        local: bool = False,
        advice: Sequence[str] = (),
    ) -> None:
        super().__init__(message, advice=advice)
        self.partly = partly
        self.answered = answered
        self.local = local


class Refused(SinkError):  # noqa: N818
    """Do not try again by yourself; a person may, with ``tracesieve outbox retry``."""


class PortInUse(SinkError):  # noqa: N818
    """The address to listen on cannot be had."""

    exit_code = 2


class BadCertificate(SinkError):  # noqa: N818
    """The certificate or its key cannot be used."""

    exit_code = 2

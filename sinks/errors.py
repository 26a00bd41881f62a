"""How a sink says that it could not deliver.

::

    SinkError        exit 3
    ├── RetryLater   the other side is down or busy: the wish waits and is tried again, for ever
    └── Refused      the other side will never take it (404, other 4xx): a dead letter
"""

from __future__ import annotations


class SinkError(Exception):
    """A delivery failed."""

    exit_code = 3


class RetryLater(SinkError):  # noqa: N818
    """Try again; nothing is wrong with the wish.

    ``partly``: others of several instances took it, so the sink works.  ``answered``: the other side is
    there, and failed; so it may be this wish alone that it fails on.
    """

    def __init__(self, message: str, *, partly: bool = False, answered: bool = False) -> None:
        super().__init__(message)
        self.partly = partly
        self.answered = answered


class Refused(SinkError):  # noqa: N818
    """Do not try again by yourself; a person may, with ``tracesieve outbox retry``."""

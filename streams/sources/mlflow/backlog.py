"""The time before an experiment's first live slice: how it is cut into pieces, its estimate, and its progress
in the log.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from rules.units import DAY_US, HOUR_US, MINUTE_US, readable_time

_LOG = logging.getLogger(__name__)
_FIRST_US = HOUR_US // 2  # the first piece of a backlog
_LEAST_US, _MOST_US = MINUTE_US, 28 * DAY_US
# Traces: a piece with more is halved, one with fewer doubled (by number: a busy server is slow at any size).
_MANY, _FEW = 300, 100
_LOG_EVERY_S = 10.0
_MS_A_TRACE = 7  # with spans, as measured


@dataclass
class Backlog:
    """It is read backwards in pieces of a second or so, so that live traces come first; times in µs."""

    name: str
    low_us: int  # all ends in (low, first slice] have landed
    start_us: int  # how far back is wanted
    top_us: int = 0  # where this process began
    high_us: int = 0  # and where slices stood then
    announced: bool = False
    landed: int = 0
    expected: int | None = None  # finished traces, as the server counts them; None: it does not say
    _size_us: int = _FIRST_US
    _logged_s: float = field(default_factory=time.monotonic)

    @property
    def left_us(self) -> int:
        """How much time is still to be read."""
        return max(self.low_us - self.start_us, 0)

    def announce(self, expected: int | None) -> None:
        """Log once what is to be done; ``expected`` finished traces, None where the server does not say."""
        self.announced, self.expected = True, expected
        since = readable_time(self.start_us, "minutes")
        if expected:
            seconds = expected * _MS_A_TRACE / 1000
            _LOG.info(
                "%s: a backlog of %d traces since %s is read, about %.0f s",
                self.name,
                expected,
                since,
                seconds,
            )
        elif expected is None:
            _LOG.info("%s: the backlog since %s is read", self.name, since)

    def next_piece(self) -> tuple[int, int]:
        """The end times (from, to] to read next; the caller then reports it with :meth:`piece_landed`."""
        return max(self.low_us - self._size_us, self.start_us), self.low_us

    def piece_landed(self, landed: int) -> None:
        """A piece with so many traces has landed: adapt the size of the next, and log progress now and
        then.
        """
        self.landed += landed
        if landed > _MANY:
            self._size_us = max(self._size_us // 2, _LEAST_US)
        elif landed < _FEW:
            self._size_us = min(self._size_us * 2, _MOST_US)
        if not self.left_us and self.landed:
            _LOG.info("%s: the backlog has been read, %d traces", self.name, self.landed)
        elif self.expected != 0 and time.monotonic() - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = time.monotonic()
            of = f" of about {self.expected}" if self.expected else ""
            back_to = readable_time(self.low_us, "minutes")
            _LOG.info("%s: %d%s traces of the backlog, back to %s", self.name, self.landed, of, back_to)

"""Where the landing of each experiment stands, and how far its backlog has come: estimate, size of the next
piece, log.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from rules.units import DAY_US, HOUR_US, MINUTE_US, readable_time
from store.final_through import Watermark

_LOG = logging.getLogger(__name__)
_FIRST_US = HOUR_US // 2  # the first piece of a backlog
_LEAST_US, _MOST_US = MINUTE_US, 28 * DAY_US
# Traces: a piece with more is halved, one with fewer doubled (by number: a busy server is slow at any size).
_MANY, _FEW = 300, 100
_SAY_S = 10.0
_MS_A_TRACE = 7  # with spans (DESIGN 8)


@dataclass
class LandingStep:
    """What one pass did, in traces."""

    landed: int = 0
    skipped: int = 0
    missed: int = 0  # found only by a comparison with the server's counts
    amended: int = 0  # landed again because they had changed
    gone: int = 0  # deleted while being listed
    in_progress: int = 0
    backlog_us: int = 0  # time still to be landed before the first live slice


@dataclass
class Backlog:
    """The time before the first live slice, read backwards in pieces of a second or so: live traces come
    first.
    """

    name: str
    low: int  # all ends in (low, first slice] have landed
    start: int  # how far back is wanted
    top: int = 0  # where this process began
    high: int = 0  # and where slices stood then
    told: bool = False
    landed: int = 0
    _expected: int | None = None
    _size_us: int = _FIRST_US
    _said_s: float = field(default_factory=time.monotonic)

    @property
    def left_us(self) -> int:
        """How much time is still to be read."""
        return max(self.low - self.start, 0)

    def tell(self, expected: int | None) -> None:
        """Say once what is to be done; ``expected`` finished traces, None where the server does not say."""
        self.told, self._expected = True, expected
        if expected:
            seconds = expected * _MS_A_TRACE / 1000
            _LOG.info(
                "%s: a backlog of %d traces since %s is read, about %.0f s",
                self.name,
                expected,
                readable_time(self.start, "minutes"),
                seconds,
            )
        elif expected is None:
            _LOG.info("%s: the backlog since %s is read", self.name, readable_time(self.start, "minutes"))

    def next_piece(self) -> tuple[int, int]:
        """The end times (from, to] to read next; the caller then says what it took."""
        return max(self.low - self._size_us, self.start), self.low

    def took(self, landed: int) -> None:
        """A piece has landed: the next one's size follows from what was in it, and progress is said now and
        then.
        """
        self.landed += landed
        if landed > _MANY:
            self._size_us = max(self._size_us // 2, _LEAST_US)
        elif landed < _FEW:
            self._size_us = min(self._size_us * 2, _MOST_US)
        of = f" of about {self._expected}" if self._expected else ""
        if not self.left_us and self.landed:
            _LOG.info("%s: the backlog has been read, %d traces", self.name, self.landed)
        elif self._expected != 0 and time.monotonic() - self._said_s >= _SAY_S:
            self._said_s = time.monotonic()
            _LOG.info(
                "%s: %d%s traces of the backlog, back to %s",
                self.name,
                self.landed,
                of,
                readable_time(self.low, "minutes"),
            )


@dataclass
class Experiment:
    """One experiment; times in µs."""

    id: str
    name: str
    high: int  # slices cover all ends up to here
    backlog: Backlog
    relisted_us: int = 0
    reconciled_us: int = 0
    counted_us: int = 0
    written_us: int = 0
    compared_us: int = 0  # counts were last compared up to here
    watermark: Watermark | None = None
    watermark_written_us: int = 0
    in_progress: int = 0
    countable: bool = True
    deleted: bool = False
    # By (start, size) of a piece: the numbers there and here that a listing found in order.
    explained: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

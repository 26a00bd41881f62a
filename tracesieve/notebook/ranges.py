"""Ranges of time as arguments: ``last="24h"``, or ``start`` and ``end``, as text or ``datetime``."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rules.units import DAY_US, MINUTE_US, parse_duration_us, parse_time_us, utc
from tracesieve.errors import TracesieveError

Length = str | timedelta | None
Moment = str | datetime | None


class Range(NamedTuple):
    """Traces that ended in [from, to), µs, seen at ``now_us``."""

    from_us: int
    to_us: int
    now_us: int

    @property
    def until_us(self) -> int:
        """Its end, but for what is dated in the future."""
        return min(self.to_us, self.now_us // MINUTE_US * MINUTE_US + MINUTE_US)

    @property
    def starts(self) -> datetime:
        """Its beginning."""
        return utc(self.from_us)

    @property
    def ends(self) -> datetime:
        """Its end, which is not in it."""
        return utc(self.to_us)


def range_of(last: Length, start: Moment, end: Moment, now_us: int | None = None) -> Range:
    """The range that the arguments mean; the last 24 hours where none is given.

    Raises:
        TracesieveError: they are wrong, or do not go together.
    """
    now = time.time_ns() // 1000 if now_us is None else now_us
    if last is not None and (start is not None or end is not None):
        raise TracesieveError("last goes without start and end: it ends now")
    to_us = now if end is None else _moment_us("end", end)
    if start is not None:
        from_us = _moment_us("start", start)
    else:
        from_us = to_us - (DAY_US if last is None else _length_us(last))
    if from_us >= to_us:
        raise TracesieveError(f"start {utc(from_us)} is not before end {utc(to_us)}")
    return Range(from_us, to_us, now)


def _length_us(last: str | timedelta) -> int:
    if isinstance(last, timedelta):
        return last // timedelta(microseconds=1)
    try:
        return parse_duration_us(last)
    except ValueError as error:
        raise TracesieveError(f"last={last!r}: write a duration such as 30m, 24h or 7d") from error


def _moment_us(name: str, moment: str | datetime) -> int:
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    try:
        return parse_time_us(moment)
    except ValueError as error:
        raise TracesieveError(f"{name}={moment!r} is not a time: write 2026-01-31T12:00:00Z") from error

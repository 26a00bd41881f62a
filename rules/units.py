"""Units of time: their sizes in microseconds, the one grammar of durations, and times as text.

Times are whole microseconds since 1970 (UTC), durations whole microseconds; names that hold them end in
``_us``.

A duration is written as a number and a unit (``500ms``, ``30s``, ``1.5h``, ``7d``), or as a plain number of
seconds. Rule files, the config and the command line all read durations with this grammar.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

MILLISECOND_US: Final = 1_000
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
LONGEST_TRACE_MS: Final = 1e12  # a longer duration of a trace, of over 30 years, is unknown
LONGEST_US: Final = 2**63 - 1  # what a column of a table can hold

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*")
_UNITS_US = {"ms": MILLISECOND_US, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999


def parse_duration_us(value: object) -> int:
    """Microseconds of a text such as ``30s`` or ``1.5h``; a plain number, also as a text, is seconds.

    Raises:
        ValueError: it is not a duration, or too long for a column of a table.
    """
    length_us = None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        length_us = Decimal(match[1]) * _UNITS_US[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        length_us = Decimal(str(value)) * SECOND_US
    if length_us is None or not length_us.is_finite():
        raise ValueError(f"{_written(value)} is no duration: write seconds, or 30s, 5m, 24h, 7d")
    if length_us > LONGEST_US:
        raise ValueError(f"{value!r} is too long: at most {LONGEST_US // DAY_US}d")
    return round(length_us)


def _written(value: object) -> str:
    """What was given for a duration, as a file has it."""
    if isinstance(value, bool) or value is None:
        return "nothing" if value is None else str(value).lower()
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else repr(value)


def duration_text(length_us: int) -> str:
    """A duration in the largest unit that makes it a whole number: ``30d``, ``90s``, ``1500ms``."""
    for unit in ("d", "h", "m", "s"):
        if length_us and length_us % _UNITS_US[unit] == 0:
            return f"{length_us // _UNITS_US[unit]}{unit}"
    return seconds_text(length_us)


def seconds_text(length_us: int) -> str:
    """A duration in seconds, or in milliseconds where it is not whole seconds: ``300s``, ``1500ms``."""
    if length_us % SECOND_US == 0:
        return f"{length_us // SECOND_US}s"
    return f"{Decimal(length_us) / MILLISECOND_US:f}ms"


def utc(time_us: int) -> datetime:
    """A time as a ``datetime`` in UTC, exact to the microsecond; one before year 1 or after 9999 as the first
    or last there is.
    """
    return _EPOCH + timedelta(microseconds=min(max(time_us, _FIRST_US), _LAST_US))


def iso_time(time_us: int, precision: Literal["auto", "seconds", "microseconds"] = "seconds") -> str:
    """A time in ISO 8601, UTC: ``2026-11-20T08:00:00Z``; ``auto`` keeps microseconds where there are any."""
    return utc(time_us).isoformat(timespec=precision).replace("+00:00", "Z")


def parse_time_us(text: str) -> int:
    """Microseconds of a time in ISO 8601; UTC unless it says otherwise.

    Raises:
        ValueError: it is no such time.
    """
    found = datetime.fromisoformat(text)
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def readable_time(time_us: int, precision: Literal["minutes", "seconds"] = "seconds") -> str:
    """A time for a person: ``2026-11-20 08:00:00 UTC``."""
    return utc(time_us).replace(tzinfo=None).isoformat(" ", precision) + " UTC"

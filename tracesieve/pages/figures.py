"""Numbers with their units as a person reads them, and the ticks of an axis.

Units are ``count``, ``ms``, ``share`` (0 to 1) and ``usd``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracesieve.terminal import short_time

UNITS = ("count", "ms", "share", "usd")
_TICKS = 4
_MINUTE_MS = 60_000


def figure(value: float | None, unit: str) -> str:
    """A number with its unit, ``-`` for none.

    Raises:
        ValueError: there is no such unit.
    """
    if unit not in UNITS:
        raise ValueError(f"{unit} is no unit: {', '.join(UNITS)}")
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "ms":
        return short_time(value * 1000) if value else "0"
    if unit == "share":
        return f"{value:.0%}" if value >= 0.1 or not value else f"{value:.1%}"
    if unit == "usd":
        return f"{value:,.2f} USD" if value >= 1 or not value else f"{value:.2g} USD"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def short_figure(value: float, unit: str) -> str:
    """The same for an axis, where there is little room: ``120k``; the title says that money is USD."""
    if unit == "count":
        for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if value >= size:
                return f"{value / size:.3g}{letter}"
    return f"{value:.3g}" if unit == "usd" else figure(value, unit)


def ticks(highest: float, unit: str) -> list[float]:
    """At most six round values from 0 on, of which the last is not below ``highest``."""
    top = highest if highest > 0 else 1.0
    step = next(one for one in _steps(unit, top / _TICKS) if one * _TICKS >= top)
    return [step * place for place in range(math.ceil(top / step - 1e-9) + 1)]


def _steps(unit: str, near: float) -> Iterator[float]:
    """Round steps of an axis, from about ``near`` upwards."""
    if unit == "count":
        near = max(near, 1)
    of_ms = unit == "ms" and near > _MINUTE_MS / 3
    if of_ms:
        yield from (minutes * _MINUTE_MS for minutes in (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300))
    power = math.floor(math.log10(near))
    while True:
        yield from (digit * 10.0**power for digit in (1, 2, 5))
        power += 1

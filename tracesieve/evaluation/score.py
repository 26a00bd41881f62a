"""What one scorer says of one answer, and how its value becomes a pass or a fail.

``pass`` and ``fail`` are answers; ``error`` is a scorer that gave none (a judge that was busy until the end,
code that raised) and is never a pass; ``skipped`` is a record that lacks what the scorer needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

PASS: Final = "pass"  # noqa: S105 - an outcome
FAIL: Final = "fail"
ERROR: Final = "error"
SKIPPED: Final = "skipped"
OUTCOMES: Final = (PASS, FAIL, ERROR, SKIPPED)
_WORST: Final = {ERROR: 3, FAIL: 2, PASS: 1, SKIPPED: 0}
MOST_CHARACTERS: Final = 2_000  # of a rationale: it is a judge's text, and so as hostile as the trace


@dataclass(frozen=True)
class Score:
    """One scorer's word on one record.

    Attributes:
        value: what it answered, as text.
        rationale: why, in its words; of an error what went wrong.
        content: the hash of what was judged: inputs, answer and expectations.
        reused: it was asked in an earlier evaluation, about the very same content.
    """

    record: str
    scorer: str
    outcome: str
    value: str = ""
    rationale: str = ""
    content: str = ""
    reused: bool = False


@dataclass(frozen=True)
class Passing:
    """When a number passes: from ``low`` up, up to ``high``; or what the scorer's own code says."""

    low: float | None = None
    high: float | None = None
    own: Callable[[Any], bool] | None = None


def outcome_of(value: Any, passing: Passing) -> tuple[str, str]:
    """The outcome of a scorer's value, and of an error what is wrong with it.

    True and ``yes`` pass, False and ``no`` fail, a number by ``passing``; any other value is no answer.
    """
    if passing.own is not None:
        return (PASS if passing.own(value) else FAIL), ""
    if isinstance(value, bool):
        return (PASS if value else FAIL), ""
    if isinstance(value, int | float):
        return _of_number(float(value), passing)
    text = str(getattr(value, "value", value)).strip().lower()
    if text in ("yes", "no"):
        return (PASS if text == "yes" else FAIL), ""
    if value is None:
        return ERROR, "it gave no value"
    return ERROR, f"it answered {bounded(text, 80)!r}: true, false, yes, no or a number is expected"


def _of_number(number: float, passing: Passing) -> tuple[str, str]:
    if passing.low is None and passing.high is None:
        return ERROR, f"it answered {number:g}: say with pass_from or pass_up_to which numbers pass"
    if math.isnan(number):
        return ERROR, "it answered NaN"
    low = passing.low is None or number >= passing.low
    high = passing.high is None or number <= passing.high
    return (PASS if low and high else FAIL), ""


def worst(outcomes: list[str]) -> str:
    """The one that counts of several answers of one scorer: an error, else a fail, else a pass."""
    return max(outcomes, key=_WORST.__getitem__, default=SKIPPED)


def bounded(text: str, most: int = MOST_CHARACTERS) -> str:
    """``text``, cut with ``…`` where it is too long to be kept."""
    return text if len(text) <= most else text[: most - 1] + "…"

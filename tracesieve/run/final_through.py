"""How far the sources have been counted: ``final_through``, and the instant up to which verdicts may be
given.

For an MLflow server it is the end time up to which landing has read everything, once the batch that took in
the last row landed by then is whole: it moves on without traffic.  For a Delta table it is the commit time of
the last version that was counted.  The same value stands in ``tracesieve_final_through_timestamp_seconds``
and in ``report``'s freshness.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Landing(Protocol):
    """What is asked of a source that lands."""

    def final_through_us(self) -> int | None:
        """The end time up to which all that the server showed has landed."""
        ...

    @property
    def landed_us(self) -> int:
        """When the last row was landed, as the row says."""
        ...


class Progress:
    """``final_through`` of a running stream, µs; asked once a pass."""

    def __init__(self, landing: Landing | None) -> None:
        self._landing = landing
        self._promised: deque[tuple[int, int]] = deque(
            maxlen=10_000
        )  # (final through, once rows landed by then are counted)
        self._final_us: int | None = None

    def final_through_us(self, arrived_through_us: int | None) -> int | None:
        """Given the greatest arrival time among counted rows; None while nothing is known."""
        if self._landing is None:
            return arrived_through_us
        # In this order: rows that land between the two questions only make us wait for them as well.
        final = self._landing.final_through_us()
        landed = self._landing.landed_us
        if final is not None and (not self._promised or self._promised[-1][0] < final):
            self._promised.append((final, landed))
        while self._promised and self._promised[0][1] <= (arrived_through_us or 0):
            self._final_us = self._promised.popleft()[0]
        return self._final_us


def evaluate_through_us(final_us: int | None, now_us: int, evaluate_after_us: int) -> int:
    """Verdicts may be given up to here: what is counted wholly, and whatever is ``evaluate_after`` old
    (SEMANTICS 14).
    """
    return max(min(final_us or 0, now_us), now_us - evaluate_after_us)

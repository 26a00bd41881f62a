"""Ranges of numbers, and what comparisons and arithmetic make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

from rules.dialect.nodes import FLIPPED

_INFINITY = float("inf")
_TOLERANCE = 1e-9  # of what is computed with floating numbers


@dataclass(frozen=True)
class Range:
    """All numbers between two bounds, each of which may be left out."""

    low: float = -_INFINITY
    high: float = _INFINITY
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def within(self, other: Range) -> Range:
        """The numbers that are in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, open_ = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not open_)

    def beyond(self, op: str) -> Range:
        """The numbers x for which ``x op y`` can hold with some y of this range."""
        if op == "=":
            return self
        if op in ("<", "<="):
            return Range(high=self.high, high_open=self.high_open or op == "<")
        if op in (">", ">="):
            return Range(low=self.low, low_open=self.low_open or op == ">")
        return Range()

    def may(self, op: str, other: Range) -> bool:
        """Whether ``x op y`` can hold with some x of this range and some y of the other."""
        if op == "<>":
            return not (self.low == self.high == other.low == other.high)
        return not self.within(other.beyond(op)).empty and not other.within(self.beyond(FLIPPED[op])).empty

    def whole(self) -> Range:
        """The range from its least whole number to its greatest."""
        low, high = self.low, self.high
        if math.isfinite(low):
            low = math.floor(low) + 1.0 if self.low_open else float(math.ceil(low))
        if math.isfinite(high):
            high = math.ceil(high) - 1.0 if self.high_open else float(math.floor(high))
        return Range(low, high)

    def loose(self) -> Range:
        """A little wider, for what rounding may have cut off."""
        return replace(self, low=self.low - _slack(self.low), high=self.high + _slack(self.high))


ALL = Range()


def _slack(bound: float) -> float:
    return _TOLERANCE * max(1.0, abs(bound)) if math.isfinite(bound) else 0.0


def arithmetic(op: str, left: Range, right: Range) -> Range:
    """Between what bounds ``left op right`` lies; both bounds belong to the result."""
    if left.empty or right.empty:
        return ALL
    if op == "+":
        return Range(left.low + right.low, left.high + right.high)
    if op == "-":
        return Range(left.low - right.high, left.high - right.low)
    if op == "/":
        if right.low <= 0 <= right.high:
            return ALL
        right = Range(_inverse(right.high), _inverse(right.low))
    corners = [_times(a, b) for a, b in product((left.low, left.high), (right.low, right.high))]
    return Range(min(corners), max(corners))


def _inverse(value: float) -> float:
    return 0.0 if math.isinf(value) else 1 / value


def _times(a: float, b: float) -> float:
    return 0.0 if 0.0 in (a, b) else a * b

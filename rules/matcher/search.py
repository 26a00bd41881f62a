"""Searching for many patterns in the distinct words of a text column.

The plain texts that patterns demand are found together, in one pass over the words; a pattern's regular
expression is tried only on words that hold its texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect.patterns import Pattern, lower

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
TOGETHER = 8  # from so many plain texts on, Polars' automaton is faster than one search each
# One or two characters are found nearly everywhere: to list where costs more than to search again.
SHORTEST = 3


class Search:
    """The words of one text, and the plain texts that a set of patterns looks for in them."""

    def __init__(self, words: pa.Array, needles: Sequence[str] = (), in_lower_case: bool = False) -> None:
        self.words = lower(words) if in_lower_case else words
        self._needles = [needle for needle in needles if len(needle) >= SHORTEST]

    def matching(self, pattern: Pattern, among: Codes | None = None) -> Bools:
        """Which words a pattern matches; False for words that are not in ``among`` (default: all are)."""
        found = np.zeros(len(self.words), dtype=bool)
        if pattern.whole and among is None:
            found[self._holding(pattern.needles[0])] = True
            return found
        if among is None:
            among = self._candidates(pattern)
        if len(among):
            words = self.words if len(among) == len(self.words) else self.words.take(pa.array(among))
            found[among] = pc.match_substring_regex(words, pattern.regex).to_numpy(zero_copy_only=False)
        return found

    def _candidates(self, pattern: Pattern) -> Codes:
        """The words that may match."""
        listed = [self._places[needle] for needle in pattern.needles if needle in self._places]
        if not listed and pattern.needles:
            listed = [self._holding(max(pattern.needles, key=len))]
        left = np.zeros(len(self.words), dtype=np.int16)
        for places in listed:
            left[places] += 1  # a place that is listed twice counts once: fancy assignment is not an addition
        return np.flatnonzero(left == len(listed))

    def _holding(self, needle: str) -> Codes:
        """The words that hold a text."""
        if needle in self._places:
            return self._places[needle]
        return np.flatnonzero(self._column.str.contains(needle, literal=True).to_numpy())

    @cached_property
    def _column(self) -> Any:
        import polars as pl  # here: a worker without patterns need not load it

        return pl.Series(self.words, dtype=pl.String)

    @cached_property
    def _places(self) -> dict[str, Codes]:
        """For each plain text the words that hold it, if there are enough of them to look for all at once."""
        if len(self._needles) < TOGETHER or not len(self.words):
            return {}
        found = self._column.str.extract_many(self._needles, overlapping=True).to_arrow()
        holding = np.repeat(np.arange(len(found)), pc.list_value_length(found).to_numpy(zero_copy_only=False))
        which = pc.index_in(found.flatten().cast(pa.string()), pa.array(self._needles, pa.string())).to_numpy(
            zero_copy_only=False
        )
        order = np.argsort(which.astype(np.int16), kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(self._needles)))
        return dict(zip(self._needles, np.split(holding[order], ends[:-1]), strict=True))

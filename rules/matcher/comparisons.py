"""Comparing columns: numbers with NaN for null, texts by their codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rules.matcher import values as v

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "<>": lambda a, b: (a < b) | (a > b),  # false where a side is NaN, as null has it
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def compare_numbers(op: str, left: v.Numbers, right: v.Numbers | float) -> v.Bools:
    """Where a comparison is TRUE; not where a side is null."""
    return np.asarray(_OPERATIONS[op](left, right))


def compare_with_word(op: str, texts: v.Texts, word: str) -> v.Bools:
    """Where a comparison with a constant is TRUE, worked out once a distinct word."""
    if op in ("=", "<>"):
        code = texts.code(word)
        if op == "=":
            return np.asarray(texts.codes == code)
        return np.asarray((texts.codes != code) & texts.known)
    return texts.where(np.array([bool(_OPERATIONS[op](one, word)) for one in texts.words], dtype=bool))


def compare_texts(op: str, left: v.Texts, right: v.Texts) -> v.Bools:
    """Where a comparison of two columns of texts is TRUE: that of the ranks of their words in order."""
    order = {word: rank for rank, word in enumerate(sorted({*left.words, *right.words}))}
    ranks = [
        np.array([*(order[word] for word in side.words), np.nan], dtype=np.float64)[side.codes]
        for side in (left, right)
    ]
    return compare_numbers(op, ranks[0], ranks[1])

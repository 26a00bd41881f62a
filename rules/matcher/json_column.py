"""A column of JSON objects: the numbers in them, and which words are broken JSON.

Token counts and costs differ from trace to trace, so parsing each distinct word once saves little. Plain
objects of numbers, as MLflow writes them, are parsed together by Arrow, the rest one by one in Python; both
give the same.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
MOST = 1e15  # of a number in JSON; what is larger is none
# An amount is a number from 0 up to this: a counter that fell would look restarted, and sums of millions of
# traces must fit a 64-bit column.
MOST_TOKENS, MOST_USD = 1e12, 1e6
KEYS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "input_cost",
    "output_cost",
    "total_cost",
)
_PARTS = {"total_tokens": ("input_tokens", "output_tokens"), "total_cost": ("input_cost", "output_cost")}
# An object of at least one number, on one line, in which no brace, bracket or escape can hide another.
_NUMBER = r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,17})?(?:[eE][-+]?[0-9]{1,2})?"
_PLAIN = r'^\{"[A-Za-z0-9_]{1,64}": ?' + _NUMBER + r'(?:, ?"[A-Za-z0-9_]{1,64}": ?' + _NUMBER + r")*\}$"
_SCHEMA = pa.schema([(key, pa.float64()) for key in KEYS])


class JsonColumn:
    """Distinct words that should be JSON objects; every array has one item a word."""

    def __init__(self, words: pa.Array) -> None:
        self._words = words

    def numbers(self, key: str) -> Numbers:
        """The numbers under ``key`` (one of :data:`KEYS`), NaN if there is none; a total that is absent is
        made of its parts.
        """
        found = np.full(len(self._words), np.nan)
        plain, table = self._plain
        if table is not None:
            found[plain] = _total(table, key)
        rest, objects = self._rest
        found[rest] = [number_under(key, value) for value in objects]
        return found

    @cached_property
    def broken(self) -> Bools:
        """Which words are no JSON object."""
        found = np.zeros(len(self._words), dtype=bool)
        rest, objects = self._rest
        found[rest] = [value is None for value in objects]
        return found

    @cached_property
    def out_of_range(self) -> Bools:
        """Which words have a number under one of :data:`KEYS` that is no amount: negative, or too large."""
        found = np.zeros(len(self._words), dtype=bool)
        plain, table = self._plain
        if table is not None:
            given = [_column(table, key) for key in KEYS]
            amounts = [_amounts(one, key) for one, key in zip(given, KEYS, strict=True)]
            odd = [~np.isnan(one) & np.isnan(two) for one, two in zip(given, amounts, strict=True)]
            found[plain] = np.any(odd, axis=0)
        rest, objects = self._rest
        found[rest] = [
            any(_is_odd(value.get(key), key) for key in KEYS) if value else False for value in objects
        ]
        return found

    @cached_property
    def _plain(self) -> tuple[Bools, pa.Table | None]:
        plain = pc.match_substring_regex(self._words, _PLAIN).to_numpy(zero_copy_only=False).astype(bool)
        words = self._words.filter(pa.array(plain))
        table = _parsed(words) if len(words) else None
        return (plain if table is not None else np.zeros(len(plain), dtype=bool)), table

    @cached_property
    def _rest(self) -> tuple[npt.NDArray[np.int64], list[dict[str, Any] | None]]:
        rest = np.flatnonzero(~self._plain[0])
        return rest, [json_object(word) for word in self._words.take(pa.array(rest)).to_pylist()]


def _parsed(words: pa.Array) -> pa.Table | None:
    """The columns :data:`KEYS` of plain objects; None where Arrow is stricter than JSON: at a key that stands
    twice.
    """
    lines = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(words)], pa.int32()), words), "\n")[
        0
    ].as_buffer()
    how = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")
    try:
        return pj.read_json(
            pa.BufferReader(lines), pj.ReadOptions(use_threads=False, block_size=lines.size + 1), how
        )
    except pa.ArrowInvalid:
        return None


def _total(table: pa.Table, key: str) -> Numbers:
    given = _column(table, key)
    if key not in _PARTS:
        return _amounts(given, key)
    one, other = (_amounts(_column(table, part), part) for part in _PARTS[key])
    return _amounts(np.where(np.isnan(given), one + other, given), key)


def _column(table: pa.Table, key: str) -> Numbers:
    return np.asarray(table[key].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def _amounts(values: Numbers, key: str) -> Numbers:
    return np.where((values >= 0) & (values < _most(key)), values, np.nan)


def _most(key: str) -> float:
    return MOST_USD if key.endswith("_cost") else MOST_TOKENS


def json_object(word: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or None."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def number_under(key: str, value: dict[str, Any] | None) -> float:
    """The number under a key of an object, NaN if there is none; a total that is absent is made of its
    parts.
    """
    found = value.get(key) if value else None
    if found is None and value and key in _PARTS:
        parts = [value.get(name) for name in _PARTS[key]]
        found = sum(parts) if all(_is_amount(part, key) for part in parts) else None  # type: ignore[arg-type]
    return float(found) if _is_amount(found, key) else np.nan  # type: ignore[arg-type]


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number of a sensible size (true and false are none)."""
    return _is_numeric(value) and abs(value) < MOST


def _is_numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_amount(value: Any, key: str) -> bool:
    """Whether it is a number of tokens or of dollars."""
    return _is_numeric(value) and 0 <= value < _most(key)


def _is_odd(value: Any, key: str) -> bool:
    """Whether it is a number, and no amount."""
    return _is_numeric(value) and not _is_amount(value, key)

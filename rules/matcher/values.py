"""Values of fields in a batch: numbers and texts with their nulls, decoded from raw columns.

A text column is kept as codes into its distinct values, so that a predicate is evaluated once for each
distinct value. A number column is float64 with NaN for null; what is not a number is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.matcher.json_column import is_number

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
ASKED = 16  # so many words are searched for one by one before an index of all is built
FEW = 64  # with fewer distinct words, picking some of them saves nothing
_ERROR_CODES = {"ERROR", "STATUS_CODE_ERROR", "2"}
_UNSET_CODES = {"UNSET", "STATUS_CODE_UNSET", "0"}
_OK_CODES = {"OK", "STATUS_CODE_OK", "1"}


class Texts:
    """Codes into distinct words, -1 for null; ``arrow`` are the words as a column, for patterns."""

    def __init__(self, codes: npt.NDArray[np.signedinteger[Any]], arrow: pa.Array) -> None:
        self.arrow = arrow
        self._asked = 0
        # Comparing codes with one code is most of what a matcher does: narrow ones take half the time.
        self.codes: npt.NDArray[np.signedinteger[Any]] = (
            codes.astype(np.int16) if len(arrow) < 2**15 else codes
        )

    @cached_property
    def words(self) -> list[str]:
        """The distinct values."""
        return [str(word) for word in self.arrow.to_pylist()]

    @cached_property
    def code_of(self) -> dict[str, int]:
        """Each word's code."""
        return {word: code for code, word in enumerate(self.words)}

    def code(self, word: str) -> int:
        """The code of a word, -2 if it is none of them; an index is built only after many calls."""
        self._asked += 1
        if self._asked > ASKED:
            return self.code_of.get(word, -2)
        found = int(pc.index(self.arrow, pa.scalar(word, pa.string())).as_py())
        return found if found >= 0 else -2

    @cached_property
    def known(self) -> Bools:
        """Where there is a value."""
        return self.codes >= 0

    def where(self, table: Bools) -> Bools:
        """The items whose word is marked in ``table`` (one entry a word); none that is null."""
        marked = np.flatnonzero(table)
        if len(marked) <= 3:
            found = np.zeros(len(self.codes), dtype=bool)
            for code in marked:
                found |= self.codes == code
            return found
        return np.asarray(np.append(table, False)[self.codes])  # the last entry serves code -1

    def codes_among(self, items: Bools | None) -> npt.NDArray[np.int64] | None:
        """The distinct codes of some items if they are few; None: not few enough to be worth it."""
        if items is None or len(self.arrow) < FEW or np.count_nonzero(items) * 8 > len(self.arrow):
            return None
        found = np.unique(self.codes[items]).astype(np.int64)
        return found[found >= 0]

    def take(self, items: npt.NDArray[np.int64]) -> Texts:
        """The texts of those items."""
        return Texts(self.codes[items], self.arrow)


def texts(column: pa.Array) -> Texts:
    """A string column as codes."""
    encoded = pc.dictionary_encode(column.cast(pa.string()))
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(codes, encoded.dictionary)


def constant(word: str, size: int) -> Texts:
    """One text for every item."""
    return Texts(np.zeros(size, dtype=np.int32), pa.array([word], pa.string()))


def remap(values: Texts, change: Callable[[str], str | None]) -> Texts:
    """The texts with each distinct value put through ``change``."""
    words: dict[str, int] = {}
    table = np.full(len(values.arrow) + 1, -1, dtype=np.int32)  # the last entry serves code -1
    for code, word in enumerate(values.words):
        changed = change(word)
        if changed is not None:
            table[code] = words.setdefault(changed, len(words))
    return Texts(table[values.codes], pa.array(list(words), pa.string()))


def changed(values: Texts, words: pa.Array) -> Texts:
    """The texts with each distinct word replaced by that of ``words`` at its place, null where that is
    null.
    """
    encoded = pc.dictionary_encode(words.cast(pa.string()))
    table = np.append(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32), -1)
    return Texts(table[values.codes], encoded.dictionary)


def merged(choices: list[Texts]) -> Texts:
    """For each item the first of its texts that is not null."""
    words = pc.dictionary_encode(pa.concat_arrays([one.arrow.cast(pa.string()) for one in choices]))
    codes, start = np.full(len(choices[0].codes), -1, dtype=np.int32), 0
    for one in choices:
        table = words.indices.slice(start, len(one.arrow)).to_numpy(zero_copy_only=False).astype(np.int32)
        own = np.append(table, -1)[one.codes]
        codes = np.where(codes < 0, own, codes)
        start += len(one.arrow)
    return Texts(codes, words.dictionary)


def nothing(size: int) -> Texts:
    """Null for every item."""
    return Texts(np.full(size, -1, dtype=np.int32), pa.array([], pa.string()))


def numbers(column: pa.Array) -> Numbers:
    """A numeric column."""
    data = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.asarray(data, dtype=np.float64)


def from_words(values: Texts, change: Callable[[str], float | None]) -> Numbers:
    """Numbers read from each distinct text by ``change``."""
    found = [change(word) for word in values.words]
    table = np.array([np.nan if value is None else value for value in found] + [np.nan], dtype=np.float64)
    return np.asarray(table[values.codes], dtype=np.float64)


def epoch_us(column: pa.Array) -> Numbers:
    """A timestamp column in µs since 1970, UTC; times without a zone are UTC."""
    zone = column.type.tz if pa.types.is_timestamp(column.type) else "UTC"
    micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    return np.where(
        column.is_valid().to_numpy(zero_copy_only=False),
        micros.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64),
        np.nan,
    )


def json_text(word: str) -> str:
    """What a span attribute says: MLflow writes JSON (``"TOOL"``, quotes included); anything else stands as
    it is.
    """
    if word.startswith('"'):
        try:
            value = json.loads(word)
        except ValueError:
            return word
        return _encodable(value) if isinstance(value, str) else word
    return word


def _encodable(text: str) -> str:
    """The text; half of a surrogate pair, which JSON can write and no column can hold, as a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def span_status(word: str) -> str:
    """``OK``, ``ERROR`` or the code as written (SEMANTICS 4)."""
    upper = word.upper()
    if upper in _ERROR_CODES:
        return "ERROR"
    return "OK" if upper in _OK_CODES else "UNSET" if upper in _UNSET_CODES else upper


def plain_number(word: str) -> float | None:
    """The number that a JSON text is, or None (also for true, false and texts)."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        return None
    return float(value) if is_number(value) else None

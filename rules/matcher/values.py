"""Values of fields in a batch: decoding raw columns into numbers and texts with their nulls.

A text column is kept as codes into its distinct values, so that a predicate is worked out once a distinct value.
A number column is float64 with a mask of what is known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]
_ERROR_CODES = {"ERROR", "STATUS_CODE_ERROR", "2"}
_UNSET_CODES = {"UNSET", "STATUS_CODE_UNSET", "0"}
_OK_CODES = {"OK", "STATUS_CODE_OK", "1"}


@dataclass(frozen=True)
class Texts:
    """Codes into ``words``; -1 is null."""

    codes: npt.NDArray[np.int32]
    words: list[str]

    @property
    def known(self) -> Bools:
        """Where there is a value."""
        return self.codes >= 0


@dataclass(frozen=True)
class Numbers:
    """Float64 values, meaningless where not ``known``."""

    data: npt.NDArray[np.float64]
    known: Bools


def texts(column: pa.Array) -> Texts:
    """A string column as codes."""
    encoded = pc.dictionary_encode(column.cast(pa.string()))
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(codes, encoded.dictionary.to_pylist())


def remap(values: Texts, change: Any) -> Texts:
    """The texts with each distinct value put through ``change`` (str → str or None)."""
    words: dict[str, int] = {}
    table = np.full(len(values.words) + 1, -1, dtype=np.int32)  # the last entry serves code -1
    for code, word in enumerate(values.words):
        changed = change(word)
        if changed is not None:
            table[code] = words.setdefault(changed, len(words))
    return Texts(table[values.codes], list(words))


def numbers(column: pa.Array) -> Numbers:
    """A numeric column."""
    known = column.is_valid().to_numpy(zero_copy_only=False)
    data = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    return Numbers(data, known)


def from_words(values: Texts, change: Any) -> Numbers:
    """Numbers read from each distinct text by ``change`` (str → float or None)."""
    found = [change(word) for word in values.words]
    table = np.array([0.0 if value is None else value for value in found] + [0.0])
    known = np.array([value is not None for value in found] + [False])
    return Numbers(table[values.codes], known[values.codes])


def epoch_us(column: pa.Array) -> Numbers:
    """A timestamp column as microseconds since the epoch."""
    known = column.is_valid().to_numpy(zero_copy_only=False)
    zone = column.type.tz if pa.types.is_timestamp(column.type) else "UTC"
    micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()).fill_null(0)
    return Numbers(micros.to_numpy(zero_copy_only=False).astype(np.float64), known)


def json_text(word: str) -> str:
    """What a span attribute says: MLflow writes JSON (``"TOOL"``, quotes included); anything else stands as it is."""
    if word.startswith('"'):
        try:
            value = json.loads(word)
        except ValueError:
            return word
        return value if isinstance(value, str) else word
    return word


def span_status(word: str) -> str:
    """``OK``, ``ERROR`` or the code as written (SEMANTICS 4)."""
    upper = word.upper()
    if upper in _ERROR_CODES:
        return "ERROR"
    return "OK" if upper in _OK_CODES else "UNSET" if upper in _UNSET_CODES else upper


def json_number(key: str) -> Any:
    """A function from a JSON object's text to the number under ``key`` (a total is made of its parts if absent)."""

    def read(word: str) -> float | None:
        try:
            value = json.loads(word)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found = value.get(key)
        if found is None and key.startswith("total_"):
            kind = key.removeprefix("total_").removesuffix("s")
            names = ("input_tokens", "output_tokens") if kind == "token" else ("input_cost", "output_cost")
            parts = [value.get(name) for name in names]
            found = sum(parts) if all(_is_number(part) for part in parts) else None  # type: ignore[arg-type]
        return float(found) if _is_number(found) else None  # type: ignore[arg-type]

    return read


def plain_number(word: str) -> float | None:
    """The number that a JSON text is, or None (also for true, false and texts)."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        return None
    return float(value) if _is_number(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e15

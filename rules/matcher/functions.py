"""What the functions of conditions come to on whole columns (``rules/dialect/functions.py`` lists them)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.matcher import values as v
from rules.units import DAY_US, HOUR_US, MINUTE_US

Value = v.Texts | v.Numbers
_OfWords = Callable[[pa.Array], pa.Array]
_QUARTER_US = 15 * MINUTE_US  # offsets of time zones change at quarters of an hour
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_LONGEST_NUMBER = 400  # characters; a double has at most 17 digits that count
_BLANKS = "".join(map(chr, range(33)))


def computed(name: str, arguments: Sequence[Value], constants: Sequence[str | None], result: str) -> Value:
    """The value of a call, one an item.

    ``constants`` are the arguments that are constant texts; ``result`` is the type of the value.
    """
    if name == "coalesce":
        return _coalesce(arguments, result)
    if name == "from_utc_timestamp":
        return _numbers(arguments[0]) + _offsets_us(_numbers(arguments[0]), str(constants[1]))
    if name in _OF_TIME:
        return _OF_TIME[name](_numbers(arguments[0]))
    of, size = arguments[0], len(_items(arguments[0]))
    if not isinstance(of, v.Texts):  # the constant NULL
        return v.nothing(size) if result == "text" else np.full(size, np.nan)
    if name in _CASES:
        return v.changed(of, _CASES[name](of.arrow))
    return np.asarray(np.append(_OF_WORDS[name](of.arrow), np.nan)[of.codes])


def _items(value: Value) -> v.Numbers | np.ndarray:
    return value.codes if isinstance(value, v.Texts) else value


def _numbers(value: Value) -> v.Numbers:
    return np.full(len(value.codes), np.nan) if isinstance(value, v.Texts) else value


def _coalesce(arguments: Sequence[Value], result: str) -> Value:
    if result == "text":
        return v.merged([one for one in arguments if isinstance(one, v.Texts)])
    found = _numbers(arguments[0])
    for other in arguments[1:]:
        found = np.where(np.isnan(found), _numbers(other), found)
    return found


def _case(of_ascii: _OfWords, of_any: Callable[[str], str]) -> _OfWords:
    """Words in another case: by Arrow where they are plain ASCII, else by all rules of Unicode, as in
    Spark.
    """

    def change(words: pa.Array) -> pa.Array:
        if pc.all(pc.string_is_ascii(words)).as_py() is not False:
            return of_ascii(words)
        return pa.array([of_any(word) for word in words.to_pylist()], pa.string())

    return change


def _length(words: pa.Array) -> v.Numbers:
    return np.asarray(pc.utf8_length(words).to_numpy(zero_copy_only=False), dtype=np.float64)


def _number(words: pa.Array) -> v.Numbers:
    """The numbers that words are, NaN for those that are none."""
    short = np.flatnonzero(
        pc.less_equal(pc.utf8_length(words), _LONGEST_NUMBER).to_numpy(zero_copy_only=False)
    )
    plain = pc.utf8_trim(words.take(pa.array(short)), _BLANKS)
    those = np.flatnonzero(pc.match_substring_regex(plain, _NUMBER).to_numpy(zero_copy_only=False))
    found = np.full(len(words), np.nan)
    parsed = np.array([float(word) for word in plain.take(pa.array(those)).to_pylist()], dtype=np.float64)
    found[short[those]] = np.where(np.isfinite(parsed), parsed, np.nan)
    return found


def _hour(times_us: v.Numbers) -> v.Numbers:
    return np.floor(times_us / HOUR_US) % 24


def _day_of_week(times_us: v.Numbers) -> v.Numbers:
    return (np.floor(times_us / DAY_US) + 4) % 7 + 1  # 1970 began on a Thursday, which is 5


def _offsets_us(times_us: v.Numbers, zone: str) -> v.Numbers:
    """How far the clocks of a zone are ahead of UTC, asked once for each quarter of an hour that occurs."""
    quarters = np.floor(times_us / _QUARTER_US)
    distinct, places = np.unique(quarters, return_inverse=True)
    asked = ZoneInfo(zone)
    offsets = [_offset_us(quarter * _QUARTER_US, asked) for quarter in distinct.tolist()]
    return np.asarray(np.array(offsets, dtype=np.float64)[places])


def _offset_us(time_us: float, zone: ZoneInfo) -> float:
    try:
        local = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
    except (ValueError, OverflowError):  # null, or no date
        return np.nan
    offset = local.utcoffset()
    return np.nan if offset is None else offset / timedelta(microseconds=1)


_CASES = {"lower": _case(pc.ascii_lower, str.lower), "upper": _case(pc.ascii_upper, str.upper)}
_OF_WORDS = {"length": _length, "number": _number}
_OF_TIME = {"hour": _hour, "dayofweek": _day_of_week}

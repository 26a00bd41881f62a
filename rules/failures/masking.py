"""Masking: an error message without what differs from one failure to the next.

Addresses, paths, times, ids, numbers and quoted values become ``*``; status codes (``status: 429``) stay,
since a refused request and a broken server are two failures. What is left is the pattern of the message. It
depends on the message alone, so its fingerprint is the same in any order, batch and store.

Regular expressions run in RE2, through Arrow, on whole columns: hostile messages cannot make them slow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

MESSAGE_LENGTH: Final = 500  # characters of a message that are kept, and that its pattern is made of
_STOP: Final = r"\s=:,;()\[\]{}|\"'`<>"  # what ends a word

# In this order: what is longer, or would be taken apart by a later one, comes first.
_MASKS: Final = (
    r"(?i)\b[a-z][a-z0-9+.\-]{1,20}://[^\s'\"<>)\],;]+",  # a URL
    r"\b[0-9A-Za-z._%+\-]+@[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*",  # an e-mail address, user@host
    r"\b\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"  # 2026-11-27, 2026-11-27T09:30:00.5+01:00
    r"(?:[T ,_\-]\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?)?(?:Z|[+\-]\d{2}:?\d{2})?\b",
    r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?"  # Fri Nov 27 09:30:00 2026
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* +\d{1,2}"
    r"(?: \d{1,2}:\d{2}:\d{2})?(?: [A-Z]{3,4})?(?: \d{4})?\b",
    r"\b\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?\b",  # a time of day
    r"(?i)\b(?:[0-9a-f]{1,4}:){3,}(?::?[0-9a-f]{1,4})+\b",  # an IPv6 or hardware address
    r"(?i)\b(?:[a-z0-9\-]+\.)+[a-z0-9]+:\d{1,5}\b",  # host:port
    r"(?i)\b(?:[a-z0-9\-_]+\.)+(?:com|net|org|edu|io|ai|dev|cloud|local|internal|de|uk|cn|in|fr|jp|us|eu)\b",
    r"(?:[A-Za-z]:)?(?:\\[^\\\s'\":,;]+){2,}",  # a path of Windows
)
_PATHS: Final = (
    r"(^|[\s=:('\"\[,])(?:~|\.{1,2})?(?:/[0-9A-Za-z._%+@$#\-*]+){2,}/?",
    r"(^|[\s=:('\"\[,])\.{1,2}/[0-9A-Za-z._%+@$#\-*]+",
)
_WORD: Final = f"[^{_STOP}]*[0-9*][^{_STOP}]*"  # a word in which there is a number or a mask
_LONG: Final = r"\b[0-9A-Za-z]{24,}\b"
_SEVERAL: Final = r"\*(?:[\s,:]+\*)+"
_STATUS = re.compile(r"(?i)\b(code|status|http|errno)(\W{0,4})([1-5][0-9]{2})\b")
_QUOTED = re.compile(r"(?<![0-9A-Za-z_])(['\"`])((?:\\.|(?!\1)[^\\\n])*)\1(?![0-9A-Za-z_])(\s*:)?")
_PLAIN_NAME = re.compile(r"[A-Za-z_]{3,}")
_HIDDEN: Final = {ord("0") + digit: 0xE000 + digit for digit in range(10)}
_SHOWN: Final = {hidden: digit for digit, hidden in _HIDDEN.items()}


def masked(messages: pa.Array) -> pa.Array:
    """The patterns of messages, one each; null for null.

    Only the first :data:`MESSAGE_LENGTH` characters of a message count. White space is one space.
    """
    cut = pc.utf8_slice_codeunits(messages.cast(pa.string()), 0, MESSAGE_LENGTH)
    column = _texts([None if one is None else _kept_apart(one) for one in cut.to_pylist()])
    for pattern in _MASKS:
        column = pc.replace_substring_regex(column, pattern, "*")
    for pattern in _PATHS:
        column = pc.replace_substring_regex(column, pattern, r"\1*")
    for pattern in (_LONG, _WORD, _SEVERAL):
        column = pc.replace_substring_regex(column, pattern, "*")
    column = pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"\s+", " "))
    return _texts([one and one.translate(_SHOWN) for one in column.to_pylist()])


def _texts(words: Sequence[str | None]) -> pa.Array:
    """A column of texts; not by ``pa.array``, which imports pandas: half of a second for a command."""
    return pl.Series(words, dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def fingerprint(error_type: str, pattern: str) -> str:
    """Sixteen hexadecimal digits that stand for a pattern and the type of its error."""
    return blake2b(f"{error_type}\n{pattern}".encode(), digest_size=8).hexdigest()


def _kept_apart(message: str) -> str:
    """The message with quoted values masked, and status codes hidden from the masks of numbers."""
    quoted = _QUOTED.sub(_quoted, message) if '"' in message or "'" in message or "`" in message else message
    return _STATUS.sub(lambda found: found[1] + found[2] + found[3].translate(_HIDDEN), quoted)


def _quoted(found: re.Match[str]) -> str:
    """A quoted value as ``*``; the keys of an object stay, and of its values the sentences and names."""
    if found[3]:
        return found[0]
    before = found.string[: found.start()].rstrip()
    of_object = before.endswith(":") and "{" in before
    if of_object and (found[2].count(" ") >= 3 or _PLAIN_NAME.fullmatch(found[2])):
        return found[0]
    return f"{found[1]}*{found[1]}"

"""Patterns of the user's own, in RE2 as Arrow has it: linear in the text whatever the pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rules.dialect.patterns import regex_error
from rules.redaction.found import Found

_OPEN, _CLOSE = "\ue000", "\ue001"  # for private use: they mean nothing in any text
_UNUSABLE = re.compile("[\ud800-\udfff\ue000\ue001]")  # what Arrow cannot hold, and our own marks
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")


def pattern_error(pattern: str) -> str:
    """Why a pattern cannot be used: RE2 does not take it, or it matches a text without characters; empty if
    it can.
    """
    if error := regex_error(pattern):
        return error
    return "it matches the empty text, so everywhere" if any(True for _ in _spans(pattern, "")) else ""


def matches(pattern: str, kind: str, text: str) -> Iterator[Found]:
    """Where a pattern matches, whole matches; an empty match is none."""
    for start, end in _spans(pattern, text):
        if end > start:
            yield Found(start, end, kind, text[start:end])


def _spans(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    import pyarrow as pa  # slow to import, and most configs have no pattern
    import pyarrow.compute as pc

    usable = _UNUSABLE.sub("\ufffd", text)
    column = pa.array([usable], pa.large_string())
    marked = pc.replace_substring_regex(column, pattern, rf"{_OPEN}\0{_CLOSE}")[0].as_py()
    for number, match in enumerate(_MARKED.finditer(marked)):
        start = match.start() - 2 * number
        yield start, start + len(match[1])

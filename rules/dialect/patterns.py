"""Patterns: RE2 as Arrow has it, linear in the text whatever the pattern, and LIKE written as RE2."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc


def regex_error(pattern: str) -> str:
    """Why RE2 does not take a pattern; empty if it does."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0]
    return ""


def like_regex(pattern: str) -> str:
    """SQL's LIKE as an anchored RE2: ``%`` any text, ``_`` one character, a backslash escapes either."""
    parts, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        at += 1
    return "(?s)^" + "".join(parts) + "$"

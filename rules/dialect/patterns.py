"""Patterns: RE2 as Arrow has it, linear in the text whatever the pattern, and LIKE written as RE2.

For every pattern the plain texts are known that each match must hold. To find those texts is far cheaper than
to search for the pattern, and often it is all there is to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

_PLAIN = re.compile(r"\\(?P<escaped>[^\w\s])|(?P<plain>[^\\^$.|?*+()\[\]{}])")


@dataclass(frozen=True)
class Pattern:
    """One pattern as it is searched for.

    Attributes:
        needles: plain texts that every match holds.
        whole: there is one needle, and every text that holds it matches.
        regex: the pattern as RE2.
        lower: text and pattern are compared in lower case.
    """

    needles: tuple[str, ...]
    whole: bool
    regex: str
    lower: bool


@lru_cache(maxsize=4096)
def understood(op: str, pattern: str) -> Pattern:
    """The pattern of a ``LIKE``, ``ILIKE`` or ``RLIKE``."""
    if op == "RLIKE":
        needles = _required(pattern)
        return Pattern(needles, needles == (pattern,), pattern, False)
    if op == "ILIKE":
        pattern = lower(pa.array([pattern], pa.string()))[0].as_py()
    runs = _like_runs(pattern)
    needles = tuple(run for run in runs if run)
    return Pattern(
        needles, runs == ["", *needles, ""] and len(needles) == 1, like_regex(pattern), op == "ILIKE"
    )


def lower(texts: pa.Array) -> pa.Array:
    """Texts in lower case, as ILIKE compares them."""
    import pyarrow.compute as pc  # slow to import, and a config without patterns never asks

    return pc.utf8_lower(texts)


def regex_error(pattern: str) -> str:
    """Why RE2 does not take a pattern; empty if it does."""
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0]
    return ""


def like_regex(pattern: str) -> str:
    """SQL's LIKE as an anchored RE2: ``%`` any text, ``_`` one character, a backslash escapes either."""
    return (
        "(?s)^"
        + "".join(re.escape(char) if plain else {"%": ".*", "_": "."}[char] for char, plain in _like(pattern))
        + "$"
    )


def _like(pattern: str) -> list[tuple[str, bool]]:
    """The characters of a LIKE, each with whether it stands for itself."""
    found, at = [], 0
    while at < len(pattern):
        escaped = pattern[at] == "\\" and at + 1 < len(pattern)
        at += escaped
        found.append((pattern[at], escaped or pattern[at] not in "%_"))
        at += 1
    return found


def _like_runs(pattern: str) -> list[str]:
    """What stands between the wildcards of a LIKE; an underscore counts as more than one, as it is no plain
    gap.
    """
    runs = [""]
    for char, plain in _like(pattern):
        if plain:
            runs[-1] += char
        else:
            runs += [""] if char == "%" else ["", ""]
    return runs


def _required(pattern: str) -> tuple[str, ...]:
    """Texts that every match of an RE2 holds; none where finding them would take a parser."""
    if "|" in pattern or "(?" in pattern or "\\Q" in pattern:
        return ()
    runs, at, depth = [""], 0, 0
    while at < len(pattern):
        char = pattern[at]
        found = _PLAIN.match(pattern, at)
        if found and depth == 0:
            runs[-1] += found["escaped"] or found["plain"]
            at = found.end()
            continue
        if char in "*?{+":  # what it follows may be absent, or there twice
            runs[-1] = runs[-1][:-1]
        runs.append("")
        depth += (char == "(") - (char == ")")
        if char == "[":
            at = _class_end(pattern, at)
        elif char == "{":
            at = pattern.find("}", at) if "}" in pattern[at:] else at
        at += 2 if char == "\\" else 1
    return tuple(run for run in runs if run)


def _class_end(pattern: str, at: int) -> int:
    """Where the ``]`` of a class that begins at ``at`` is."""
    at += 1
    at += pattern.startswith("^", at)
    at += pattern.startswith("]", at)
    while at < len(pattern) and pattern[at] != "]":
        if pattern.startswith("[:", at):
            at = max(pattern.find(":]", at), at) + 1
        at += 2 if pattern[at] == "\\" else 1
    return at

"""What ``--compare`` asks for: the time before, another range, or two versions."""

from __future__ import annotations

from dataclasses import dataclass

from rules.units import parse_duration_us, parse_time_us
from tracesieve.analysis.comparison.versions import version_key
from tracesieve.errors import TracesieveError

BEFORE = "before"
_FORMS = (
    "write `before` (the time as long just before), a duration such as 7d (the same range so much earlier), "
    "FROM..TO, or KEY=A,B (versions: tags.release=1.4,1.5)"
)


@dataclass(frozen=True)
class Versions:
    """Versions by a key of ``group_by``: a group's key, ``tags.KEY``, ``metadata.KEY``."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class Range:
    """Another range of time, [from, to) in µs."""

    from_us: int
    to_us: int


def parsed(text: str, from_us: int, to_us: int) -> Versions | Range:
    """What a text asks for, beside the range [from, to).

    Raises:
        TracesieveError: it is none of the forms; the message lists them.
    """
    if text == BEFORE:
        return Range(2 * from_us - to_us, from_us)
    key, equals, values = text.partition("=")
    if equals:
        return _versions(key, values)
    start, dots, end = text.partition("..")
    try:
        if dots:
            found = Range(parse_time_us(start), parse_time_us(end))
        else:
            earlier_us = parse_duration_us(text)
            found = Range(from_us - earlier_us, to_us - earlier_us)
    except ValueError as error:
        raise TracesieveError(f"--compare {text}: {_FORMS}") from error
    if found.from_us >= found.to_us:
        raise TracesieveError(f"--compare {text}: {start} is not before {end}")
    return found


def _versions(key: str, values: str) -> Versions:
    key = version_key(key)
    before, _, after = values.partition(",")
    if not before or not after or "," in after:
        raise TracesieveError(f"--compare {key}={values}: write two versions, the older first: {key}=A,B")
    if before == after:
        raise TracesieveError(f"--compare {key}={values}: the two versions are one")
    return Versions(key, before, after)

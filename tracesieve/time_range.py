"""The options ``--last``, ``--from`` and ``--to``: a range of time; its faults in one message."""

from __future__ import annotations

from rules.units import parse_duration_us, parse_time_us
from tracesieve.errors import TracesieveError


def range_us(
    last: str | None, start: str | None, end: str | None, now_us: int
) -> tuple[int | None, int | None]:
    """The range [from, to) in µs; None: open, for want of an option.

    Raises:
        TracesieveError: the options are wrong, or do not go together; all of it at once.
    """
    wrong: list[str] = []
    length_us = _last(last, wrong)
    from_us, to_us = _time("--from", start, wrong), _time("--to", end, wrong)
    if last is not None and (start is not None or end is not None):
        given = " and ".join(name for name, one in (("--from", start), ("--to", end)) if one is not None)
        wrong.append(f"--last goes without {given}: it ends now")
    elif not wrong and from_us is not None and from_us >= (now_us if to_us is None else to_us):
        wrong.append(f"--from {start} is not before " + ("now" if end is None else f"--to {end}"))
    if wrong:
        raise TracesieveError("\n".join(wrong))
    return (from_us, to_us) if length_us is None else (now_us - length_us, None)


def _last(text: str | None, wrong: list[str]) -> int | None:
    if text is None:
        return None
    try:
        length_us = parse_duration_us(text)
    except ValueError:
        length_us = 0
    if not length_us:
        wrong.append(f"--last {text}: write a duration such as 30m, 24h or 7d")
    return length_us


def _time(option: str, text: str | None, wrong: list[str]) -> int | None:
    if text is None:
        return None
    try:
        return parse_time_us(text)
    except ValueError:
        wrong.append(f"{option} {text!r} is not a time: write it as 2026-01-31T12:00:00Z")
        return None

"""What a report's document says of spikes and patterns, in words; content of traces is not escaped here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rules.units import parse_time_us, readable_time, utc
from tracesieve.pages.figures import figure

MEASURES: Final = {
    "error_rate": ("error rate", "share", "failed"),
    "p95_ms": ("P95", "ms", "slow"),
    "p95_tokens": ("P95 of tokens", "count", "large"),
    "p95_cost_usd": ("P95 of cost", "usd", "dear"),
}


def span_of_time(row: Mapping[str, Any]) -> str:
    """``2026-11-20 13:00 to 15:00``, in UTC."""
    begin, end = (parse_time_us(row[key]) for key in ("from", "to"))
    same_day = utc(begin).date() == utc(end).date()
    first, last = (readable_time(one, "minutes").removesuffix(" UTC") for one in (begin, end))
    return f"{first} to {last[11:] if same_day else last}"


def spike(row: Mapping[str, Any]) -> str:
    """The measure of a spike: ``error rate 41%, usually 2.1%: 1,203 of 2,934 traces failed, 62 expected``."""
    name, unit, word = MEASURES[row["measure"]]
    value, usual = figure(row["value"], unit), figure(row["usual"], unit)
    numbers = f"{row['affected']:,} of {row['traces']:,} traces {word}, {row['expected']:,.0f} expected"
    return f"{name} {value}, usually {usual}: {numbers}"


def change(row: Mapping[str, Any], of: Mapping[str, Any]) -> tuple[str, str]:
    """A value that changed in a spike, and its numbers: ``model=b`` and ``appears: in 96% of the failed
    traces, 50% of all; before 0%``.
    """
    word = MEASURES[of["measure"]][2]
    shares = [_percent(row["affected"], of["affected"]), _percent(row["traces"], of["traces"])]
    before = _percent(row["traces_before"], of["others"])
    text = f"{row['state']}: in {shares[0]} of the {word} traces, {shares[1]} of all"
    return changed_value(row), f"{text}; {of['compared_with']} {before}"


def changed_value(row: Mapping[str, Any]) -> str:
    """``model=b``, ``tool search``, ``span answer``, or the text of a pattern in quotes."""
    if row["kind"] == "group":
        return f"{row['key']}={row['value']}" if row["value"] else f"no {row['key']}"
    if row["kind"] == "pattern":
        return f"“{row['text'] or '(no message)'}”"
    return f"{row['kind']} {row['value'] or '(no name)'}"


def pattern(row: Mapping[str, Any]) -> str:
    """The type of an error pattern and its text."""
    kind, text = row["error_type"] or "", row["text"] or "(no message)"
    return text if not kind or text.startswith(kind) else f"{kind}: {text}"


def place(row: Mapping[str, Any]) -> str:
    """Where most failures of a pattern began."""
    return f"in {row['span_name']}" if row["span_name"] else "no span failed"


def _percent(part: int, whole: int) -> str:
    return figure(part / whole if whole else None, "share")

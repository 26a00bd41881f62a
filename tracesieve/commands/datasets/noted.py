"""What a version says of the choice of its records, in lines: what was left out, what it covers and lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rules.selection import REASONS
from tracesieve.terminal import plain, wrapped

_LONGEST = 60
_WORDS = {"patterns": "error patterns", "groups": "groups", "durations": "durations"}


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a terminal; none for a version that notes nothing."""
    if left_out := document.get("left_out"):
        counts = ", ".join(f"{number:,} {REASONS.get(why, why)}" for why, number in left_out.items())
        yield wrapped(f"left out: {counts}")
    covered = document.get("covered")
    if not covered or not covered["failures"]:
        return
    seen = (
        f"{covered['failures']:,} failures of {covered['days']} days, {covered['patterns']:,} error patterns"
    )
    to_come = f"of failures to come at least {covered['at_least']:.1%} (95% sure)"
    yield wrapped(f"covers {covered['share']:.1%} of {seen}; {to_come}")
    for kind, rows in covered["missing"].items():
        if rows:
            shown = ", ".join(f"{plain(row['name'], _LONGEST)} ({row['failures']:,})" for row in rows)
            yield wrapped(f"lacks {_WORDS.get(kind, kind)}: {shown}")

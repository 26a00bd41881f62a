"""Where the time and the tokens of one trace went, worked out slowly: sets of microseconds and recursion.

Written without the project's own code, for tests to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Span:
    """One span; times in µs, None: unknown."""

    span_id: str | None
    parent_id: str | None = None
    start: int | None = 0
    end: int | None = 0
    name: str = "step"
    type: str = "TOOL"
    status: str = "OK"
    tokens: int | None = None
    children: list[Span] = field(default_factory=list, repr=False, compare=False)
    parent: Span | None = field(default=None, repr=False, compare=False)

    @property
    def timed(self) -> bool:
        return self.start is not None and self.end is not None

    @property
    def micros(self) -> set[int]:
        """Every microsecond in which it ran."""
        return set(range(self.start or 0, self.end or 0)) if self.timed else set()


def linked(spans: list[Span]) -> list[Span]:
    """The roots, every span with its parent and children; the ids of one trace differ."""
    by_id = {one.span_id: one for one in spans if one.span_id is not None}
    for one in spans:
        one.children, one.parent = [], by_id.get(one.parent_id) if one.parent_id else None
    stray = [one for one in spans if not _reaches_a_root(one, len(spans))]
    for one in stray:
        one.parent = None
    for one in spans:
        if one.parent is not None:
            one.parent.children.append(one)
    return [one for one in spans if one.parent is None]


def _reaches_a_root(one: Span, most: int) -> bool:
    above: Span | None = one
    for _ in range(most + 1):
        if above is None:
            return True
        above = above.parent
    return False


def self_us(one: Span) -> int:
    return len(one.micros - set().union(*(child.micros for child in one.children)))


def parallel_us(one: Span) -> int:
    inside = [child.micros & one.micros for child in one.children]
    return sum(map(len, inside)) - len(set().union(*inside))


def critical_us(roots: list[Span]) -> dict[int, int]:
    """By ``id()`` of a span its part of the critical path: the walk of Jaeger, from the end back."""
    found: dict[int, int] = {}
    _walk(roots, -(10**9), 10**9, found)
    return found


def _walk(siblings: list[Span], low: int, high: int, found: dict[int, int]) -> int:
    """Walk back through siblings within a window; how long those that are waited for ran."""
    windows = [(max(one.start or 0, low), min(one.end or 0, high), one) for one in siblings if one.timed]
    windows = [one for one in windows if one[1] > one[0]]
    waited, cursor = 0, high
    while usable := [one for one in windows if one[1] <= cursor]:
        begin, until, span = max(usable, key=lambda one: (one[1], -one[0], one[2].span_id or ""))
        inner = _walk(span.children, begin, until, found)
        found[id(span)] = until - begin - inner
        waited, cursor = waited + until - begin, begin
    for one in siblings:
        if not one.timed and one.parent is None:
            _walk(one.children, low, high, found)
    return waited


def used(one: Span) -> tuple[int, int]:
    """What the span itself used, and what it and all below it used."""
    below = sum(used(child)[1] for child in one.children)
    if one.tokens is None:
        return 0, below
    return max(one.tokens - below, 0), max(one.tokens, below)


def as_row(trace_id: str, spans: list[Span], renamed: Callable[[str], str] = str) -> dict[str, Any]:
    """A row of a trace table (``store.schemas.TRACES``) with these spans, their ids renamed."""
    return {
        "trace_id": trace_id,
        "spans": [
            {
                "span_id": renamed(one.span_id) if one.span_id else one.span_id,
                "trace_id": trace_id,
                "parent_id": renamed(one.parent_id) if one.parent_id else one.parent_id,
                "start_time": one.start,
                "end_time": one.end,
                "status_code": one.status,
                "name": one.name,
                "attributes": [("mlflow.spanType", f'"{one.type}"'), *_usage(one.tokens)],
                "events": [],
            }
            for one in spans
        ],
    }


def _usage(tokens: int | None) -> list[tuple[str, str]]:
    if tokens is None:
        return []
    return [("mlflow.chat.tokenUsage", f'{{"input_tokens": {tokens}, "output_tokens": 0}}')]

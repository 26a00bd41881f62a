"""A trace as a tree for the terminal: a line a span, with a bar from its start to its end.

Of a large trace the longest spans are shown, with all that is above them, and how many are left out where.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rules.breakdown import Spans
from rules.breakdown.arrays import Bools
from tracesieve.terminal import columns, fitted, plain, short_time

MOST_LINES = 60  # of the terminal
MOST_ROWS = 500  # of a page
_DEEPEST = 8  # beyond that, lines are not indented further
_NARROWEST_BAR = 12


@dataclass(frozen=True)
class Line:
    """A line of the tree: a span, or (``span`` -1) how many children of a span are left out, and how long
    they ran.
    """

    depth: int
    span: int
    hidden: int = 0
    hidden_us: int = 0


def tree(spans: Spans, most: int = MOST_LINES) -> list[Line]:
    """The ``most`` longest spans of one trace below each other, siblings by their start."""
    order = np.lexsort((-spans.duration_us, spans.start_us, spans.parent))
    first = np.searchsorted(spans.parent[order], np.arange(-1, len(spans) + 1))

    def children(span: int) -> list[int]:
        found: list[int] = order[first[span + 1] : first[span + 2]].tolist()
        return found

    shown: set[int] = set()
    waiting = [(-int(spans.duration_us[one]), one) for one in children(-1)]
    heapq.heapify(waiting)
    while waiting and len(shown) < most:
        _, span = heapq.heappop(waiting)
        shown.add(span)
        for one in children(span):
            heapq.heappush(waiting, (-int(spans.duration_us[one]), one))
    return _lines(spans, shown, children)


def _lines(spans: Spans, shown: set[int], children: Callable[[int], list[int]]) -> list[Line]:
    lines, stack = [], [Line(-1, -1)]
    while stack:
        line = stack.pop()
        if line.depth >= 0:
            lines.append(line)
        if line.hidden:
            continue
        below = children(line.span)
        hidden = [one for one in below if one not in shown]
        if hidden:
            length_us = int(spans.duration_us[hidden].sum())
            stack.append(Line(line.depth + 1, -1, len(hidden), length_us))
        stack.extend(Line(line.depth + 1, one) for one in reversed(below) if one in shown)
    return lines


def drawn(spans: Spans, most: int = MOST_LINES) -> list[str]:
    """The lines of the tree, no wider than the terminal: name, type, duration, bar.

    A bar is full where the span is on the critical path, light where it is not; ``!`` marks what failed.
    """
    if not len(spans):
        return []
    from rich.cells import cell_len

    lines = tree(spans, most)
    timed = spans.timed
    waited, (begin_us, whole_us) = _waited_for(spans), _extent(spans)
    width = columns()
    label = min(max(cell_len(_label(spans, line)) for line in lines), width - 11 - _NARROWEST_BAR)
    room = min(width - label - 11, 60)
    shown = []
    for line in lines:
        text = fitted(_label(spans, line), label)
        text += " " * (label - cell_len(text))
        took = line.hidden_us if line.hidden else int(spans.duration_us[line.span])
        unknown = not line.hidden and not timed[line.span]
        bar = ""
        if not line.hidden and not unknown:
            mark = "█" if waited[line.span] else "░"
            bar = _bar(spans, line.span, begin_us, whole_us, room, mark)
        shown.append(f"{text} {'?' if unknown else short_time(took):>8}  {bar}".rstrip())
    return shown


def waterfall(spans: Spans, most: int = MOST_ROWS) -> list[dict[str, Any]]:
    """The lines of the tree for a page: ``depth``, and of a span ``span_name``, ``span_type``, ``failed``,
    ``critical`` (whether it is on the critical path), ``start_ms`` after the trace began, ``duration_ms``,
    ``begin`` and ``end`` as shares of the trace; null where its times are not known. Of spans that are left
    out ``hidden``, how many, and ``duration_ms`` together.
    """
    waited, (begin_us, whole_us) = _waited_for(spans), _extent(spans)
    rows = []
    for line in tree(spans, most):
        row: dict[str, Any] = {
            "depth": line.depth,
            "hidden": line.hidden,
            "duration_ms": line.hidden_us / 1000,
        }
        if not line.hidden:
            row |= _span_row(spans, line.span, begin_us, whole_us)
            row["critical"] = bool(waited[line.span])
        rows.append(row)
    return rows


def _span_row(spans: Spans, span: int, begin_us: int, whole_us: int) -> dict[str, Any]:
    name, kind = (texts.words[texts.codes[span]] for texts in (spans.names, spans.types))
    start_us, took_us = int(spans.start_us[span]) - begin_us, int(spans.duration_us[span])
    times: dict[str, Any] = dict.fromkeys(("start_ms", "duration_ms", "begin", "end"))
    if spans.timed[span]:
        shares = {"begin": start_us / whole_us, "end": (start_us + took_us) / whole_us}
        times = {"start_ms": start_us / 1000, "duration_ms": took_us / 1000, **shares}
    return {"span_name": name, "span_type": kind, "failed": bool(spans.failed[span]), **times}


def _waited_for(spans: Spans) -> Bools:
    """Which spans are on the critical path: themselves, or through a span below them."""
    waited = spans.critical_us > 0
    found = np.flatnonzero(waited)
    while len(found):
        above = np.unique(spans.parent[found])
        found = above[(above >= 0) & ~waited[above]]
        waited[found] = True
    return waited


def _extent(spans: Spans) -> tuple[int, int]:
    """When the first span begins, and how long it is to the end of the last (at least 1), in µs."""
    timed = spans.timed
    if not timed.any():
        return 0, 1
    begin_us = int(spans.start_us[timed].min())
    return begin_us, max(int((spans.start_us + spans.duration_us)[timed].max()) - begin_us, 1)


def _label(spans: Spans, line: Line) -> str:
    indent = "  " * min(line.depth, _DEEPEST)
    if line.hidden:
        return f"{indent}… {line.hidden:,} more"
    name, kind = (texts.words[texts.codes[line.span]] for texts in (spans.names, spans.types))
    mark = "! " if spans.failed[line.span] else ""
    return f"{indent}{mark}{plain(name, 60) or '(no name)'} {plain(kind, 20)}"


def _bar(spans: Spans, span: int, begin_us: int, whole_us: int, room: int, mark: str) -> str:
    start = (int(spans.start_us[span]) - begin_us) * room // whole_us
    length = max(round(int(spans.duration_us[span]) * room / whole_us), 1)
    start = min(start, room - 1)
    return " " * start + mark * min(length, room - start)

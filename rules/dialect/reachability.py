"""Whether a condition on the measures of a window can hold for any window of a rule.

Each AND-group of the condition narrows the ranges of the measures, together with what always holds: a window
that is evaluated has a trace, no more traces failed than there are, the error rate is their ratio, p50 is at
most p95 and that at most p99.  A range that becomes empty shows that the group cannot hold.  The check is
sound but not complete: whatever it reports is impossible, but not all that is impossible is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from rules.dialect.contradictions import pushed
from rules.dialect.fields import TOKEN_MEASURES
from rules.dialect.nodes import (
    FLIPPED,
    Arithmetic,
    Compare,
    Field,
    IsNull,
    Literal_,
    Logic,
    Node,
    Not,
    fields_of,
)
from rules.dialect.ranges import ALL, Range, arithmetic

_COUNTS = ("traces", "errors", *TOKEN_MEASURES)
_NEVER_NULL = ("traces", "errors", "error_rate")
_QUANTILES = ("p50_ms", "p95_ms", "p99_ms")
_NEVER_ABOVE = {("errors", "traces"), ("p50_ms", "p95_ms"), ("p95_ms", "p99_ms"), ("p50_ms", "p99_ms")}
_ROUNDS = 12  # ranges that still narrow then, do so by ever smaller steps
_MOST_GROUPS = 200


@dataclass(frozen=True)
class Given:
    """What a rule says of the windows in which its condition counts.

    Attributes:
        min_traces: how many traces they have at least.
        errors: how many of them failed: all, none, or any number.
        duration_ms: between what bounds all durations lie.
    """

    min_traces: int = 1
    errors: str = "some"
    duration_ms: Range = field(default_factory=Range)

    def ranges(self) -> dict[str, Range]:
        """The range of each measure before the condition is looked at."""
        rate = {"all": Range(1.0, 1.0), "none": Range(0.0, 0.0)}.get(self.errors, Range(0.0, 1.0))
        # Quantiles are those of a histogram, up to 0.55% off.
        low, high = self.duration_ms.low * 0.994, self.duration_ms.high * 1.006
        return {
            "traces": Range(float(self.min_traces)),
            "errors": Range(0.0),
            "error_rate": rate,
            **dict.fromkeys(TOKEN_MEASURES, Range(0.0)),
            "cost_usd": Range(0.0),
            **{name: Range(max(low, 0.0), high) for name in _QUANTILES},
        }

    def why(self, measure: str) -> str:
        """Where the range of a measure comes from, for a message."""
        if measure in ("errors", "error_rate") and self.errors != "some":
            return f"`where` counts {'only' if self.errors == 'all' else 'no'} failed traces"
        if measure == "error_rate":
            return "it lies between 0 and 1"
        if measure in _QUANTILES and self.duration_ms != Range():
            return "`where` leaves other durations out"
        if self.min_traces > 1:
            return f"a window counts from {self.min_traces} traces on (`min_traces`)"
        return "a window without traces is not evaluated"


def never_holds(node: Node, given: Given) -> str:
    """Why a condition on measures holds for no window; empty if it may hold for one."""
    groups = _groups(pushed(node))
    if groups is None:
        return ""
    reasons = []
    for group in groups:
        if not _conflict(group, given):
            return ""
        reasons.append(_reason(group, given))
    return reasons[0]


def _reason(group: list[Node], given: Given) -> str:
    """Why an AND-group that cannot hold does not: one of its terms alone, or how measures hang together."""
    for term in group:
        names = {one.name for one in fields_of(term)}
        if not names and _conflict([term], given):
            return f"it contains {term}"
        if len(names) == 1 and _conflict([term], given):
            return f"no value of `{(name := names.pop())}` satisfies it: {given.why(name)}"
    names = {one.name for term in group for one in fields_of(term)}
    if len(names & set(_QUANTILES)) > 1:
        return "`p50_ms` is at most `p95_ms`, and that at most `p99_ms`"
    if len(names & set(_NEVER_NULL)) > 1:
        return "`error_rate` is `errors` / `traces`, and no more traces fail than there are"
    return "its parts exclude each other"


def _conflict(terms: list[Node], given: Given) -> bool:
    """Whether the terms of an AND-group cannot all hold."""
    return _nulls_conflict(terms) or _Narrowing(given).conflict(terms)


def _groups(node: Node) -> list[list[Node]] | None:
    """The condition as an OR of AND-groups; None: there are too many."""
    if not isinstance(node, Logic):
        return [[node]]
    parts = [_groups(part) for part in node.parts]
    found: list[list[Node]] = [] if node.op == "OR" else [[]]
    for part in parts:
        if part is None:
            return None
        found = found + part if node.op == "OR" else [[*one, *other] for one in found for other in part]
        if len(found) > _MOST_GROUPS:
            return None
    return found


class _Narrowing:
    """The ranges of all measures while the terms of one AND-group narrow them."""

    def __init__(self, given: Given) -> None:
        self._given, self._ranges = given, given.ranges()
        self._empty = False

    def conflict(self, terms: list[Node]) -> bool:
        """Whether the terms cannot all hold."""
        if any(isinstance(term, Literal_) and term.value is not True for term in terms):
            return True
        for _ in range(_ROUNDS):
            before = dict(self._ranges)
            self._relations()
            if not all(self._compare(term) for term in terms if isinstance(term, Compare)) or self._empty:
                return True
            if self._ranges == before:
                break
        return False

    def _compare(self, term: Compare) -> bool:
        """Narrow the sides of a comparison by each other; False if it cannot hold."""
        left, right = _as_rate(term.left), _as_rate(term.right)
        if left == right:
            return term.op in ("=", "<=", ">=")
        op, names = term.op, (str(left), str(right))
        if (op == ">" and names in _NEVER_ABOVE) or (op == "<" and names[::-1] in _NEVER_ABOVE):
            return False
        one, other = self._range(left), self._range(right)
        if not one.may(term.op, other):
            return False
        for side, op, bound in ((left, term.op, other), (right, FLIPPED[term.op], one)):
            if isinstance(side, Field):
                self._narrow(side.name, bound.beyond(op))
        return True

    def _range(self, node: Node) -> Range:
        if isinstance(node, Field):
            return self._ranges.get(node.name, ALL)
        if isinstance(node, Literal_) and isinstance(node.value, float):
            return Range(node.value, node.value)
        if isinstance(node, Arithmetic):
            return arithmetic(node.op, self._range(_as_rate(node.left)), self._range(_as_rate(node.right)))
        return ALL

    def _narrow(self, name: str, by: Range) -> None:
        found = self._ranges[name].within(by)
        if name in _COUNTS:
            found = found.whole()
        self._ranges[name] = found
        self._empty = self._empty or found.empty

    def _relations(self) -> None:
        """What holds between the measures of every window."""
        for low, high in pairwise(_QUANTILES):
            self._narrow(low, self._ranges[high].beyond("<="))
            self._narrow(high, self._ranges[low].beyond(">="))
        rate = self._ranges["error_rate"]
        op = "<" if rate.high < 1 or rate.high_open else "<="
        self._narrow("errors", self._ranges["traces"].beyond(op))
        self._narrow("traces", self._ranges["errors"].beyond(FLIPPED[op]))
        if rate.low > 0 or rate.low_open:
            self._narrow("errors", Range(1.0))
        traces, errors = self._ranges["traces"], self._ranges["errors"]
        self._narrow("errors", arithmetic("*", rate, traces).loose())
        self._narrow("error_rate", arithmetic("/", errors, traces).loose())
        if rate.low > 0:
            self._narrow("traces", arithmetic("/", errors, rate).loose())


def _as_rate(node: Node) -> Node:
    """The error rate where a condition spells it out as ``errors / traces``."""
    if str(node) == "(errors / traces)":
        return Field("error_rate", "number", "measure", (), "measure")
    return node


def _nulls_conflict(terms: list[Node]) -> bool:
    """Whether the terms demand that one measure is null and is not."""
    null = {str(term.left) for term in terms if isinstance(term, IsNull)}
    known = {str(term.part.left) for term in terms if isinstance(term, Not) and isinstance(term.part, IsNull)}
    known |= {name for term in terms if isinstance(term, Compare) for name in _demanded(term)}
    quantiles = set(_QUANTILES) if known & set(_QUANTILES) else set()
    return bool(null & (known | quantiles | set(_NEVER_NULL)))


def _demanded(node: Node) -> Iterator[str]:
    """The measures without which a comparison is null: all but those in ``coalesce``."""
    if isinstance(node, Field):
        yield node.name
    elif isinstance(node, Compare | Arithmetic):
        yield from _demanded(node.left)
        yield from _demanded(node.right)

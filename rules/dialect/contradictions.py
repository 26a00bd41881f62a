"""Conditions that can never be true: found by looking at what each AND-group demands of one value.

The check is sound but not complete: whatever it reports is impossible for every trace (or window), but not
everything that is impossible is reported. It knows the range of each field (a rate lies in 0…1, a duration
is not negative) and the few values that a status has.
"""

from __future__ import annotations

from dataclasses import dataclass

from rules.dialect.fields import WORDS
from rules.dialect.nodes import (
    FLIPPED,
    NEGATED,
    Arithmetic,
    Call,
    Compare,
    Field,
    IsNull,
    Literal_,
    Logic,
    Node,
    Not,
    Over,
)

_NOT_NEGATIVE = (
    "execution_time_ms",
    "execution_duration_ms",
    "execution_time",
    "span.duration_ms",
    "tokens.",
    "span.tokens.",
    "cost.",
)
_RANGES = {"length": (0.0, float("inf")), "hour": (0.0, 23.0), "dayofweek": (1.0, 7.0)}
_CASES = {"lower": str.lower, "upper": str.upper}
_INFINITY = float("inf")


@dataclass
class _Demand:
    """What the terms of one AND-group leave open for one value."""

    low: float = -_INFINITY
    high: float = _INFINITY
    low_open: bool = False
    high_open: bool = False
    words: frozenset[str] | None = None
    null: bool = False
    known: bool = False

    def compare_number(self, op: str, value: float) -> None:
        """Narrow the range by a comparison with a constant."""
        if op in ("=", ">", ">=") and (value, op == ">") > (self.low, self.low_open):
            self.low, self.low_open = value, op == ">"
        if op in ("=", "<", "<=") and (value, op != "<") < (self.high, not self.high_open):
            self.high, self.high_open = value, op == "<"

    def compare_word(self, op: str, word: str) -> None:
        """Narrow the words by a comparison with a constant; an order of texts leaves them as they are."""
        if op == "=":
            self.one_of({word})
        elif op == "<>" and self.words is not None:
            self.words -= {word}

    def one_of(self, words: set[str]) -> None:
        """Leave only those of the words."""
        self.words = frozenset(words) if self.words is None else self.words & words

    @property
    def impossible(self) -> bool:
        empty = self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))
        return empty or self.words == frozenset() or (self.null and self.known)


def never_true(node: Node) -> str:
    """Why a condition is TRUE for nothing at all; empty if it may be."""
    node = pushed(node)
    if isinstance(node, Literal_):
        return "" if node.value is True else f"it is always {node}"
    if isinstance(node, Logic) and node.op == "OR":
        reasons = [never_true(part) for part in node.parts]
        return reasons[0] if all(reasons) else ""
    if isinstance(node, Over) and node.op == "any":
        return never_true(node.condition)
    parts = _conjuncts(node)
    if len(parts) > 1:
        for part in parts:
            if reason := never_true(part):
                return reason
    return _contradiction(parts)


def pushed(node: Node, negated: bool = False) -> Node:
    """The node with NOT moved inwards as far as SQL's three-valued logic lets it."""
    if isinstance(node, Not):
        return pushed(node.part, not negated)
    if not negated:
        return node
    if isinstance(node, Compare):
        return Compare(NEGATED[node.op], node.left, node.right)
    if isinstance(node, Logic):
        return Logic("AND" if node.op == "OR" else "OR", tuple(pushed(part, True) for part in node.parts))
    if isinstance(node, Literal_) and (node.value is None or isinstance(node.value, bool)):
        return Literal_(None if node.value is None else not node.value)
    return Not(node)


def range_of(node: Node, name: str) -> tuple[float, float]:
    """Between what bounds the value of a field lies wherever a condition is TRUE."""
    demands: dict[str, _Demand] = {}
    for part in _conjuncts(node):
        _demand(part, demands)
    found = demands.get(name, _Demand())
    return found.low, found.high


def _conjuncts(node: Node) -> list[Node]:
    node = pushed(node)
    if isinstance(node, Logic) and node.op == "AND":
        return [leaf for part in node.parts for leaf in _conjuncts(part)]
    return [node]


def _contradiction(parts: list[Node]) -> str:
    demands: dict[str, _Demand] = {}
    truths = {str(part) for part in parts}
    for part in parts:
        if isinstance(part, Not) and str(part.part) in truths:
            return f"`{part.part}` is demanded and excluded"
        name = _demand(part, demands)
        if name and demands[name].impossible:
            hint = f", which is one of {', '.join(WORDS[name])}" if name in WORDS else ""
            return f"no value of `{name}` can satisfy it{hint}"
    return ""


def _demand(part: Node, demands: dict[str, _Demand]) -> str:
    """Add what one term demands; the name of the value it is about, empty if it is not understood."""
    if isinstance(part, IsNull):
        _of(part.left, demands).null = True
        return str(part.left)
    if isinstance(part, Not) and isinstance(part.part, IsNull):
        _of(part.part.left, demands).known = True
        return str(part.part.left)
    if isinstance(part, Logic) and part.op == "OR":
        return _one_of(part, demands)
    return _compared(part, demands) if isinstance(part, Compare) else ""


def _compared(part: Compare, demands: dict[str, _Demand]) -> str:
    op, left, right = part.op, part.left, part.right
    if _number(left) is not None or isinstance(left, Literal_):
        op, left, right = FLIPPED[op], right, left
    demand = _of(left, demands)
    demand.known = True
    value = _number(right)
    if (left == right and op in ("<>", "<", ">")) or (isinstance(right, Literal_) and right.value is None):
        demand.words = frozenset()
    elif value is not None:
        demand.compare_number(op, value)
    elif isinstance(right, Literal_) and isinstance(right.value, str):
        demand.compare_word(op, right.value)
        other_case = isinstance(left, Call) and _CASES.get(left.function, str)(right.value) != right.value
        if op == "=" and other_case:
            demand.words = frozenset()
    return str(left)


def _one_of(part: Logic, demands: dict[str, _Demand]) -> str:
    """``x = 'a' OR x = 'b'``, which is what IN becomes."""
    words: set[str] = set()
    names = set()
    for term in part.parts:
        if not (isinstance(term, Compare) and term.op == "=" and isinstance(term.right, Literal_)):
            return ""
        if not isinstance(term.right.value, str) or not isinstance(term.left, Field):
            return ""
        words.add(term.right.value)
        names.add(term.left)
    if len(names) != 1:
        return ""
    _of(field := names.pop(), demands).one_of(words)
    return str(field)


def _of(node: Node, demands: dict[str, _Demand]) -> _Demand:
    name = str(node)
    if name not in demands:
        demands[name] = demand = _Demand(words=frozenset(WORDS[name]) if name in WORDS else None)
        measure = isinstance(node, Field) and node.scope == "measure"
        counted = isinstance(node, Over) and node.op == "count"
        if measure or counted or _not_negative(node):
            demand.low = 0.0
        if isinstance(node, Call) and node.function in _RANGES:
            demand.low, demand.high = _RANGES[node.function]
        if name == "error_rate":
            demand.high = 1.0
        if counted and isinstance(node, Over) and never_true(node.condition):
            demand.high = 0.0
    return demands[name]


def _not_negative(node: Node) -> bool:
    """Whether a field, or the extreme or mean of one over spans, is never below 0."""
    if isinstance(node, Over) and node.op in ("max", "min", "avg") and node.value is not None:
        return _not_negative(node.value)
    return isinstance(node, Field) and node.name.startswith(_NOT_NEGATIVE)


def _number(node: Node) -> float | None:
    """The value of a constant number, signs and sums worked out; None for anything else."""
    if isinstance(node, Literal_):
        return (
            float(node.value)
            if isinstance(node.value, int | float) and not isinstance(node.value, bool)
            else None
        )
    if isinstance(node, Arithmetic):
        left, right = _number(node.left), _number(node.right)
        if left is None or right is None or (node.op == "/" and right == 0):
            return None
        return {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1.0)}[node.op]
    return None

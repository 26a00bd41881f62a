"""Which comparison of a condition on measures decides that an alert fires.

The value on a page and the evidence are about the measure of that comparison, whatever else the condition
says. A comparison that demands much of a measure (``p95_ms > 8000``) says what went wrong; one that demands
little (``error_rate < 0.5``) narrows it down. So the first in the text that demands much decides; traffic
(``traces``) decides if nothing else does, and what demands little only if it stands alone. Of the parts of
an OR only those that hold can decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from rules.alerting.sums import Floats
from rules.dialect.nodes import (
    FLIPPED,
    NEGATED,
    Arithmetic,
    Call,
    Compare,
    Field,
    Literal_,
    Logic,
    Node,
    Not,
    fields_of,
)
from rules.matcher.evaluate import Bools, Evaluation
from rules.matcher.measures import measured

_TRAFFIC = "traces"


class Candidate(NamedTuple):
    """A comparison that may decide.

    ``rises``: it holds when the measure is large. ``within``: the parts of an OR around it, each with the
    truth that it must have; the comparison can decide only where all of them do.
    """

    measure: str
    rises: bool
    part: Node
    op: str  # of a comparison, with all NOTs around it applied; else ""
    within: tuple[tuple[Node, bool], ...]

    @property
    def rank(self) -> int:
        """The smaller, the more it says of what went wrong."""
        return 2 if not self.rises else 1 if self.measure == _TRAFFIC else 0


def candidates(condition: Node) -> tuple[Candidate, ...]:
    """The comparisons of a condition that may decide, those that are preferred first."""
    return tuple(sorted(_found(condition, True, ()), key=lambda one: one.rank))


def deciding(candidate: Candidate, rows: Evaluation, among: Bools) -> Bools:
    """The windows, of those where the condition fires, in which a candidate can decide."""
    for part, truth in candidate.within:
        among = among & rows.where(part, truth, "measure")
    return among


def deciding_values(
    choices: tuple[Candidate, ...], rows: Evaluation, measures: Mapping[str, Floats], fires: Bools
) -> Floats:
    """For each window the measure that decides; that of the preferred comparison where none fires."""
    values = measures[choices[0].measure if choices else _TRAFFIC]
    if len({one.measure for one in choices}) < 2 or not any(one.within for one in choices):
        return values
    values, undecided = values.copy(), fires
    for one in choices:
        decided = deciding(one, rows, undecided)
        values[decided] = measures[one.measure][decided]
        undecided = undecided & ~decided
    return values


def demand_of(candidate: Candidate, window: Evaluation) -> tuple[str, float] | None:
    """What the comparison demands of its measure in one window: an operator and a bound.

    All other measures are taken as they are there: ``p95_ms > 2 * p50_ms`` demands more than twice the
    median.
    None: it is no demand on the measure alone.
    """
    node, op, measure = candidate.part, candidate.op, candidate.measure
    if not isinstance(node, Compare):
        return None
    inside, other = node.left, node.right
    if not _names(inside, measure):
        inside, other, op = other, inside, FLIPPED[op]
    if _names(other, measure):
        return None
    bound = _number(other, window)
    while isinstance(inside, Arithmetic):
        on_left = _names(inside.left, measure)
        if on_left and _names(inside.right, measure):
            return None
        solved = _solved(inside.op, _number(inside.right if on_left else inside.left, window), bound, on_left)
        if solved is None:
            return None
        bound, flips = solved
        op = FLIPPED[op] if flips else op
        inside = inside.left if on_left else inside.right
    return None if np.isnan(bound) else (op, bound)


def _solved(op: str, operand: float, bound: float, on_left: bool) -> tuple[float, bool] | None:
    """The bound of x in ``x op operand`` (or ``operand op x``), and whether the comparison turns round."""
    if op == "+":
        return bound - operand, False
    if op == "-":
        return (bound + operand, False) if on_left else (operand - bound, True)
    if op == "*" and operand:
        return bound / operand, operand < 0
    if op == "/" and on_left and operand:
        return bound * operand, operand < 0
    return None


def _found(node: Node, truth: bool, within: tuple[tuple[Node, bool], ...]) -> Iterator[Candidate]:
    if isinstance(node, Not):
        yield from _found(node.part, not truth, within)
    elif isinstance(node, Logic):
        either = (node.op == "OR") == truth
        for part in node.parts:
            yield from _found(part, truth, (*within, (part, truth)) if either else within)
    elif isinstance(node, Compare):
        op = node.op if truth else NEGATED[node.op]
        for measure, sign in [*_directed(node.left, 1), *_directed(node.right, -1)]:
            yield Candidate(measure, _rises(node, op, sign), node, op, within)
    else:
        for field in fields_of(node):
            yield Candidate(field.name, False, node, "", within)


def _rises(node: Compare, op: str, sign: int) -> bool:
    """Whether the comparison demands much of a measure; being equal to something does, being 0 does not."""
    if op == "=":
        return not any(isinstance(side, Literal_) and side.value == 0 for side in (node.left, node.right))
    return op == "<>" or (op in (">", ">=")) == (sign > 0)


def _directed(node: Node, sign: int) -> Iterator[tuple[str, int]]:
    """Each measure of an arithmetic, and whether the whole rises (1) or falls (-1) with it."""
    if isinstance(node, Field):
        yield node.name, sign
    elif isinstance(node, Call):  # coalesce: it rises with each of its values
        for one in node.arguments:
            yield from _directed(one, sign)
    elif isinstance(node, Arithmetic):
        left, right = sign, -sign if node.op in "-/" else sign
        if node.op in "*/":
            left, right = left * _sign(node.right), right * _sign(node.left)
        yield from _directed(node.left, left)
        yield from _directed(node.right, right)


def _sign(node: Node) -> int:
    """The sign of a constant; no measure is negative."""
    return -1 if not fields_of(node) and _number(node, measured({}, 1)) < 0 else 1


def _number(node: Node, window: Evaluation) -> float:
    return float(np.asarray(window.value(node, "measure"), dtype=np.float64)[0])


def _names(node: Node, measure: str) -> bool:
    return any(field.name == measure for field in fields_of(node))

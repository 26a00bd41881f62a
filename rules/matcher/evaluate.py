"""Evaluating conditions on whole columns with SQL's three-valued logic.

A batch's columns are decoded once, and a sub-expression that several rules share is worked out once. A part
is asked for the items where it is TRUE, or for those where it is FALSE; where it is neither, it is null. So
NOT costs nothing, and only what is asked for is worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
    Matches,
    Node,
    Not,
    Over,
)
from rules.dialect.patterns import understood
from rules.dialect.types import type_of
from rules.matcher import values as v
from rules.matcher.batch import Batch
from rules.matcher.comparisons import compare_numbers, compare_texts, compare_with_word
from rules.matcher.decode import decode
from rules.matcher.functions import computed
from rules.matcher.search import Search
from rules.matcher.shared import Shared
from rules.matcher.totals import total

Bools = npt.NDArray[np.bool_]
Value = v.Texts | v.Numbers
_ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


Measures = Mapping[str, float | None] | Mapping[str, npt.NDArray[np.float64]]


class Evaluation(Batch):
    """A batch, and what has been worked out on it so far.

    ``shared`` says what its conditions have in common; None: nothing is known of them, so everything is
    remembered.
    """

    def __init__(
        self, table: pa.Table, measures: Measures | None = None, shared: Shared | None = None
    ) -> None:
        super().__init__(table)
        self._measures = measures or {}
        self._shared = shared
        self._wheres: dict[tuple[Node, bool, str], Bools] = {}
        self._values: dict[tuple[Node, str], Value] = {}
        self._searches: dict[tuple[Node, str, bool], Search] = {}

    # What is asked of it

    def where(self, node: Node, truth: bool = True, scope: str = "trace") -> Bools:
        """The items (rows; in scope ``spans``, spans) where a condition is TRUE, or where it is FALSE."""
        if self._shared is not None and node not in self._shared.parts:
            return self._where(node, truth, scope)
        key = (node, truth, scope)
        if key not in self._wheres:
            self._wheres[key] = self._where(node, truth, scope)
        return self._wheres[key]

    def value(self, node: Node, scope: str = "trace") -> Value:
        """The value of any part, one an item; truth is 1 or 0, and NaN where it is null."""
        if isinstance(node, Literal_) and not isinstance(node.value, bool):
            if isinstance(node.value, str):
                return v.constant(node.value, self.size(scope))
            return np.full(self.size(scope), np.nan if node.value is None else node.value)
        key = (node, scope)
        if key not in self._values:
            self._values[key] = self._value(node, scope)
        return self._values[key]

    def result(self, node: Node, item: int = 0, scope: str = "trace") -> bool | None:
        """What a condition comes to for one item; None for null."""
        if self.where(node, True, scope)[item]:
            return True
        return False if self.where(node, False, scope)[item] else None

    # Truth

    def _where(self, node: Node, truth: bool, scope: str) -> Bools:
        if isinstance(node, Compare):
            return self._compare(NEGATED[node.op] if not truth else node.op, node.left, node.right, scope)
        if isinstance(node, Logic):
            return self._logic(node, truth, scope)
        if isinstance(node, Not):
            return self.where(node.part, not truth, scope)
        if isinstance(node, Over):
            return self._over(node, truth, scope)
        if isinstance(node, Matches):
            return self._matches(node, truth, scope)
        if isinstance(node, IsNull):
            known = self._known(node.left, scope)
            return ~known if truth else known
        if isinstance(node, Literal_):
            return np.full(self.size(scope), node.value is truth)
        raise TypeError(type(node).__name__)

    def _logic(self, node: Logic, truth: bool, scope: str) -> Bools:
        """AND is TRUE where all parts are, FALSE where any is; OR the other way round."""
        every = (node.op == "AND") is truth
        parts = sorted(node.parts, key=_cost)
        found = self.where(parts[0], truth, scope)
        for part in parts[1:]:
            # A costly part is left out if it cannot change the result any more; a pattern is searched for
            # only where the result is still open.
            if _cost(part) and (not found.any() if every else found.all()):
                break
            if isinstance(part, Matches) and (self._shared is None or part not in self._shared.parts):
                other = self._matches(part, truth, scope, found if every else ~found)
            else:
                other = self.where(part, truth, scope)
            found = found & other if every else found | other
        return found

    def _known(self, node: Node, scope: str) -> Bools:
        if type_of(node) != "truth":
            value = self.value(node, scope)
            return value.known if isinstance(value, v.Texts) else ~np.isnan(value)
        return self.where(node, True, scope) | self.where(node, False, scope)

    def _compare(self, op: str, left: Node, right: Node, scope: str) -> Bools:
        if isinstance(left, Literal_):
            op, left, right = FLIPPED[op], right, left
        if isinstance(right, Literal_) and not isinstance(left, Literal_):
            if right.value is None:
                return np.zeros(self.size(scope), dtype=bool)
            value = self.value(left, scope)
            if isinstance(value, v.Texts):
                return compare_with_word(op, value, str(right.value))
            return compare_numbers(op, value, float(right.value))
        one, other = self.value(left, scope), self.value(right, scope)
        if isinstance(one, v.Texts) and isinstance(other, v.Texts):
            return compare_texts(op, one, other)
        if isinstance(one, v.Texts) or isinstance(other, v.Texts):  # one side is the constant NULL
            return np.zeros(self.size(scope), dtype=bool)
        return compare_numbers(op, one, other)

    def _matches(self, node: Matches, truth: bool, scope: str, open_: Bools | None = None) -> Bools:
        """Where a text matches, or does not.

        ``open_`` are the items that matter (default: all); of others the result says nothing.
        """
        left = self.value(node.left, scope)
        if not isinstance(left, v.Texts):
            return np.zeros(self.size(scope), dtype=bool)
        pattern = understood(node.op, node.pattern)
        key = (node.left, scope, pattern.lower)
        if key not in self._searches:
            needles = self._shared.needles.get((node.left, pattern.lower), ()) if self._shared else ()
            self._searches[key] = Search(left.arrow, needles, pattern.lower)
        hits = self._searches[key].matching(pattern, left.codes_among(open_))
        return left.where(hits if truth else ~hits)

    def _over(self, node: Over, truth: bool, scope: str) -> Bools:
        if scope != "trace":
            raise TypeError(f"{node.op} inside {scope}")
        if node.op not in ("any", "all"):  # a number as a condition is refused by the parser
            raise TypeError(node.op)
        # Spans for which the condition is TRUE make `any`; the others break `all`.
        holds = self.where(node.condition, True, node.scope)
        rows = np.zeros(self.rows, dtype=bool)
        rows[self.parent(node.scope)[np.flatnonzero(holds if node.op == "any" else ~holds)]] = True
        return rows if (node.op == "any") is truth else ~rows

    # Values

    def _value(self, node: Node, scope: str) -> Value:
        if isinstance(node, Field):
            return self._field(node, scope)
        if isinstance(node, Arithmetic):
            return self._arithmetic(node, scope)
        if isinstance(node, Call):
            arguments = [self.value(one, scope) for one in node.arguments]
            return computed(node.function, arguments, [_constant(one) for one in node.arguments], node.type)
        if isinstance(node, Over) and node.op not in ("any", "all"):
            return self._total(node)
        return np.where(
            self.where(node, True, scope), 1.0, np.where(self.where(node, False, scope), 0.0, np.nan)
        )

    def _field(self, field: Field, scope: str) -> Value:
        if field.scope == "measure":
            found = self._measures.get(field.name)
            if isinstance(found, np.ndarray):
                return found
            return np.array([np.nan if found is None else found], dtype=np.float64)
        if field.scope == "trace" and scope not in ("trace", "measure"):
            of_rows = self.value(field, "trace")
            rows = self.parent(scope)
            return of_rows.take(rows) if isinstance(of_rows, v.Texts) else of_rows[rows]
        return decode(self, field)

    def _arithmetic(self, node: Arithmetic, scope: str) -> v.Numbers:
        left, right = self._number(node.left, scope), self._number(node.right, scope)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if node.op == "/":
                right = np.where(right == 0, np.nan, right)  # a division by zero is null
            result = np.asarray(_ARITHMETIC[node.op](left, right), dtype=np.float64)
        return np.broadcast_to(result, (self.size(scope),))

    def _number(self, node: Node, scope: str) -> Any:
        if isinstance(node, Literal_) and isinstance(node.value, float):
            return node.value
        value = self.value(node, scope)
        if isinstance(value, v.Texts):
            raise TypeError("arithmetic on what is not a number")
        return value

    def _total(self, node: Over) -> v.Numbers:
        parent = self.parent(node.scope)
        used = np.flatnonzero(self.where(node.condition, True, node.scope))
        if node.value is None:
            return total(node.op, self.rows, parent[used], None)
        values = np.broadcast_to(self._number(node.value, node.scope), (len(parent),))
        return total(node.op, self.rows, parent[used], values[used])


def _constant(node: Node) -> str | None:
    return node.value if isinstance(node, Literal_) and isinstance(node.value, str) else None


def _cost(node: Node) -> int:
    """How costly a part is: 0 a comparison of whole columns, 1 something over spans, 2 a pattern."""
    if isinstance(node, Matches):
        return 2
    if isinstance(node, Not):
        return _cost(node.part)
    if isinstance(node, Logic):
        return max(_cost(part) for part in node.parts)
    if isinstance(node, Over):
        return max(1, _cost(node.condition))
    if isinstance(node, Compare):
        return 1 if isinstance(node.left, Call) or isinstance(node.right, Call) else 0
    return 0 if isinstance(node, IsNull | Literal_) else 1

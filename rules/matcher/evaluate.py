"""Evaluating conditions on whole columns with SQL's three-valued logic.

A batch's columns are decoded once, and a sub-expression that several rules share is worked out once.  What is
asked of a part is the items where it is TRUE, or those where it is FALSE; where it is neither it is null.  So
NOT costs nothing, and nobody works out what he does not need.  Values of spans are flat, one item a span;
``parent`` says to which row each belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect.nodes import Arithmetic, Compare, Field, IsNull, Literal_, Logic, Matches, Node, Not, Over
from rules.dialect.patterns import understood
from rules.dialect.types import type_of
from rules.matcher import values as v
from rules.matcher.decode import decode
from rules.matcher.json_column import JsonColumn
from rules.matcher.search import Search
from rules.matcher.shared import Shared

Bools = npt.NDArray[np.bool_]
Value = v.Texts | v.Numbers
_FLIP = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_OPS: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "<>": lambda a, b: (a < b) | (a > b),  # false where a side is NaN, as null has it
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


Measures = Mapping[str, float | None] | Mapping[str, npt.NDArray[np.float64]]


class Evaluation:
    """One batch: its columns, and what has been worked out on them so far.

    ``shared`` says what its conditions have in common; None: nothing is known of them, so everything is
    remembered.
    """

    def __init__(
        self, table: pa.Table, measures: Measures | None = None, shared: Shared | None = None
    ) -> None:
        self._table = table
        self._measures = measures or {}
        self._shared = shared
        self._wheres: dict[tuple[Node, bool, str], Bools] = {}
        self._values: dict[tuple[Node, str], Value] = {}
        self._raw: dict[str, pa.Array] = {}
        self._texts: dict[str, v.Texts] = {}
        self._objects: dict[str, JsonColumn] = {}
        self._searches: dict[tuple[Node, str, bool], Search] = {}
        self._parents: dict[str, npt.NDArray[np.int64]] = {}

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
        return (
            True
            if self.where(node, True, scope)[item]
            else False
            if self.where(node, False, scope)[item]
            else None
        )

    def size(self, scope: str) -> int:
        """How many items there are in a scope."""
        return self._table.num_rows if scope in ("trace", "measure") else len(self.parent(scope))

    def parent(self, scope: str) -> npt.NDArray[np.int64]:
        """For each span (or assessment), the row it belongs to."""
        if scope not in self._parents:
            name = next((n for n in self._table.column_names if n.startswith(f"{scope}.")), None)
            lengths = (
                pc.fill_null(pc.list_value_length(self._column(name)), 0)
                if name
                else pa.array([], pa.int32())
            )
            counts = lengths.to_numpy(zero_copy_only=False)
            self._parents[scope] = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return self._parents[scope]

    def flat(self, name: str) -> pa.Array:
        """A raw column; the items of a list column one after the other."""
        column = self._column(name)
        return (
            column.flatten()
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            else column
        )

    def texts(self, name: str) -> v.Texts:
        """A raw column as codes, encoded once however many fields are read from it."""
        if name not in self._texts:
            self._texts[name] = v.texts(self.flat(name))
        return self._texts[name]

    def objects(self, name: str) -> JsonColumn:
        """The distinct words of a raw column of JSON objects, parsed once however many fields are read from
        it.
        """
        if name not in self._objects:
            self._objects[name] = JsonColumn(self.texts(name).arrow)
        return self._objects[name]

    def _column(self, name: str) -> pa.Array:
        if name not in self._raw:
            column = self._table[name]
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            self._raw[name] = column
        return self._raw[name]

    # Truth

    def _where(self, node: Node, truth: bool, scope: str) -> Bools:
        if isinstance(node, Compare):
            return self._compare(_NEGATE[node.op] if not truth else node.op, node.left, node.right, scope)
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
            # A dear part is left out if it changes nothing any more, and a pattern is put to what is still
            # open alone.
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
            op, left, right = _FLIP[op], right, left
        if isinstance(right, Literal_) and not isinstance(left, Literal_):
            if right.value is None:
                return np.zeros(self.size(scope), dtype=bool)
            value = self.value(left, scope)
            if isinstance(value, v.Texts):
                return _compare_constant(op, value, str(right.value))
            return np.asarray(_OPS[op](value, float(right.value)))
        one, other = self.value(left, scope), self.value(right, scope)
        if isinstance(one, v.Texts) and isinstance(other, v.Texts):
            return _compare_texts(op, one, other)
        if isinstance(one, v.Texts) or isinstance(other, v.Texts):  # one side is the constant NULL
            return np.zeros(self.size(scope), dtype=bool)
        return np.asarray(_OPS[op](one, other))

    def _matches(self, node: Matches, truth: bool, scope: str, open_: Bools | None = None) -> Bools:
        """Where a text matches, or does not; only what it says of items in ``open_`` (default: all) is
        meant.
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
        rows = np.zeros(self._table.num_rows, dtype=bool)
        rows[self.parent(node.scope)[np.flatnonzero(holds if node.op == "any" else ~holds)]] = True
        return rows if (node.op == "any") is truth else ~rows

    # Values

    def _value(self, node: Node, scope: str) -> Value:
        if isinstance(node, Field):
            return self._field(node, scope)
        if isinstance(node, Arithmetic):
            return self._arithmetic(node, scope)
        if isinstance(node, Over) and node.op in ("count", "sum"):
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
        rows, parent = self._table.num_rows, self.parent(node.scope)
        used = np.flatnonzero(self.where(node.condition, True, node.scope))
        if node.op == "count":
            return np.bincount(parent[used], minlength=rows).astype(np.float64)
        value = self._number(node.value or Literal_(0.0), node.scope)
        value = np.broadcast_to(value, (len(parent),))[used]
        used, value = used[~np.isnan(value)], value[~np.isnan(value)]
        total = np.bincount(parent[used], weights=value, minlength=rows)
        return np.where(np.bincount(parent[used], minlength=rows) > 0, total, np.nan)


def _cost(node: Node) -> int:
    """How dear a part is: 0 a comparison of whole columns, 1 something over spans, 2 a pattern."""
    if isinstance(node, Matches):
        return 2
    if isinstance(node, Not):
        return _cost(node.part)
    if isinstance(node, Logic):
        return max(_cost(part) for part in node.parts)
    if isinstance(node, Over):
        return max(1, _cost(node.condition))
    return 0 if isinstance(node, Compare | IsNull | Literal_) else 1


def _compare_constant(op: str, texts: v.Texts, word: str) -> Bools:
    if op in ("=", "<>"):
        code = texts.code(word)
        if op == "=":
            return np.asarray(texts.codes == code)
        return np.asarray((texts.codes != code) & texts.known)
    return texts.where(np.array([bool(_OPS[op](one, word)) for one in texts.words], dtype=bool))


def _compare_texts(op: str, left: v.Texts, right: v.Texts) -> Bools:
    order = {word: rank for rank, word in enumerate(sorted({*left.words, *right.words}))}
    ranks = [
        np.array([*(order[word] for word in side.words), np.nan], dtype=np.float64)[side.codes]
        for side in (left, right)
    ]
    return np.asarray(_OPS[op](*ranks))

"""Evaluating conditions on whole columns with SQL's three-valued logic.

A batch's columns are decoded once, and every distinct sub-expression is worked out once however many rules share it.
Truth is a pair of masks: where the result is true, and where it is known.  Values of spans are flat, one item a span;
``parent`` says to which row each belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect import Condition
from rules.dialect.nodes import Arithmetic, Compare, Field, IsNull, Literal_, Logic, Matches, Node, Not, Over
from rules.dialect.patterns import like_regex
from rules.matcher import values as v

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """Three-valued truth: ``true`` implies ``known``."""

    true: Bools
    known: Bools


Value = v.Texts | v.Numbers | Truth


class Evaluation:
    """One batch: its columns, and what has been worked out on them so far."""

    def __init__(self, table: pa.Table, measures: Mapping[str, float | None] | None = None) -> None:
        self._table = table
        self._measures = measures or {}
        self._done: dict[tuple[Node, str], Value] = {}
        self._raw: dict[str, pa.Array] = {}
        self._parents: dict[str, npt.NDArray[np.int64]] = {}

    def truth(self, node: Node, scope: str = "trace") -> Truth:
        """The truth of a condition: one item a row, or one a span in scope ``spans``."""
        found = self.value(node, scope)
        if isinstance(found, Truth):
            return found
        if isinstance(found, v.Numbers):
            return Truth(found.known & (found.data != 0), found.known)
        nothing = np.zeros(len(found.codes), dtype=bool)
        return Truth(nothing, nothing)

    def value(self, node: Node, scope: str = "trace") -> Value:
        """The value of any part of a condition."""
        key = (node, scope)
        if key not in self._done:
            self._done[key] = self._work_out(node, scope)
        return self._done[key]

    def size(self, scope: str) -> int:
        """How many items there are in a scope."""
        return self._table.num_rows if scope in ("trace", "measure") else len(self.parent(scope))

    def parent(self, scope: str) -> npt.NDArray[np.int64]:
        """For each span (or assessment), the row it belongs to."""
        if scope not in self._parents:
            name = next((n for n in self._table.column_names if n.startswith(f"{scope}.")), None)
            lengths = pc.fill_null(pc.list_value_length(self._column(name)), 0) if name else pa.array([], pa.int32())
            counts = lengths.to_numpy(zero_copy_only=False)
            self._parents[scope] = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return self._parents[scope]

    def _column(self, name: str) -> pa.Array:
        if name not in self._raw:
            column = self._table[name]
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            self._raw[name] = column
        return self._raw[name]

    def _flat(self, name: str) -> pa.Array:
        column = self._column(name)
        return column.flatten() if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) else column

    def _work_out(self, node: Node, scope: str) -> Value:
        if isinstance(node, Field):
            return self._field(node, scope)
        if isinstance(node, Literal_):
            return self._constant(node, self.size(scope))
        if isinstance(node, Compare):
            return self._compare(node, scope)
        if isinstance(node, Arithmetic):
            return self._arithmetic(node, scope)
        if isinstance(node, Matches):
            return self._matches(node, scope)
        if isinstance(node, IsNull):
            inner = self.value(node.left, scope)
            return Truth(~inner.known, np.ones(len(inner.known), dtype=bool))
        if isinstance(node, Not):
            part = self.truth(node.part, scope)
            return Truth(part.known & ~part.true, part.known)
        if isinstance(node, Logic):
            return self._logic(node, scope)
        if isinstance(node, Over):
            return self._over(node)
        raise TypeError(type(node).__name__)

    def _field(self, field: Field, scope: str) -> Value:
        if field.scope == "measure":
            found = self._measures.get(field.name)
            return v.Numbers(np.array([0.0 if found is None else found]), np.array([found is not None]))
        if field.scope == "trace" and scope not in ("trace", "measure"):
            return _take(self.value(field, "trace"), self.parent(scope))
        first, kind = self._flat(field.raw[0]), field.decode
        if kind in ("text", "json_text", "span_status"):
            found_texts = v.texts(first)
            change = {"json_text": v.json_text, "span_status": v.span_status}.get(kind)
            return v.remap(found_texts, change) if change else found_texts
        if kind == "first":
            return v.texts(pc.coalesce(*(self._flat(raw).cast(pa.string()) for raw in field.raw)))
        if kind == "duration":
            found_numbers = v.numbers(first)
            return v.Numbers(np.maximum(found_numbers.data, 0.0), found_numbers.known)
        if kind.startswith("json:"):
            return v.from_words(v.texts(first), v.json_number(kind.removeprefix("json:")))
        if kind == "joined":
            columns = [self._flat(raw).cast(pa.string()) for raw in field.raw]
            return v.texts(pc.binary_join_element_wise(*columns, " ", null_handling="skip"))
        if kind.startswith("assessment"):
            return self._assessment(field, first)
        return self._time(field, first)

    def _assessment(self, field: Field, names: pa.Array) -> Value:
        kind, _, name = field.decode.partition(":")
        named = pc.fill_null(pc.equal(names.cast(pa.string()), name), False).to_numpy(zero_copy_only=False)
        written = v.texts(self._flat(field.raw[1]))
        if kind == "assessment_number":
            found = v.from_words(written, v.plain_number)
            return v.Numbers(found.data, found.known & named)
        answers = v.remap(written, v.json_text)
        return v.Texts(np.where(named, answers.codes, -1).astype(np.int32), answers.words)

    def _time(self, field: Field, first: pa.Array) -> v.Numbers:
        start = v.epoch_us(first)
        if field.decode == "time_ms":
            return v.Numbers(np.floor(start.data / 1000), start.known)
        second = self._flat(field.raw[1])
        if field.decode == "end_ms":
            took = v.numbers(second)
            return v.Numbers(np.floor(start.data / 1000) + np.where(took.known, np.maximum(took.data, 0), 0), start.known)
        end = v.epoch_us(second)
        return v.Numbers(np.maximum(end.data - start.data, 0) / 1000, start.known & end.known)

    @staticmethod
    def _constant(node: Literal_, size: int) -> Value:
        if isinstance(node.value, bool):
            return Truth(np.full(size, node.value), np.ones(size, dtype=bool))
        if isinstance(node.value, str):
            return v.Texts(np.zeros(size, dtype=np.int32), [node.value])
        return v.Numbers(np.full(size, node.value or 0.0), np.full(size, node.value is not None))

    def _compare(self, node: Compare, scope: str) -> Truth:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        known = left.known & right.known
        if isinstance(left, v.Texts) and isinstance(right, v.Texts):
            result = _compare_texts(node.op, left, right)
        elif isinstance(left, v.Numbers) and isinstance(right, v.Numbers):
            result = _OPS[node.op](left.data, right.data)
        elif isinstance(left, Truth) and isinstance(right, Truth):
            result = _OPS[node.op](left.true, right.true)
        else:  # one side is the constant NULL
            result = known = np.zeros(len(known), dtype=bool)
        return Truth(known & result, known)

    def _arithmetic(self, node: Arithmetic, scope: str) -> v.Numbers:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        if not isinstance(left, v.Numbers) or not isinstance(right, v.Numbers):
            raise TypeError("arithmetic on what is not a number")
        known = left.known & right.known
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if node.op == "/":
                known = known & (right.data != 0)
            ops = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
            data = ops[node.op](left.data, right.data)
        return v.Numbers(np.where(known, data, 0.0).astype(np.float64), known)

    def _matches(self, node: Matches, scope: str) -> Truth:
        left = self.value(node.left, scope)
        if not isinstance(left, v.Texts):
            nothing = np.zeros(len(left.known), dtype=bool)
            return Truth(nothing, nothing)
        words = pa.array(left.words, pa.string())
        if node.op == "RLIKE":
            hits = pc.match_substring_regex(words, node.pattern)
        else:
            hits = pc.match_substring_regex(words, like_regex(node.pattern), ignore_case=node.op == "ILIKE")
        table = np.append(hits.to_numpy(zero_copy_only=False).astype(bool), False)
        return Truth(table[left.codes], left.known)

    def _logic(self, node: Logic, scope: str) -> Truth:
        parts = [self.truth(part, scope) for part in node.parts]
        both, either = (np.logical_and, np.logical_or) if node.op == "AND" else (np.logical_or, np.logical_and)
        true, false = parts[0].true, parts[0].known & ~parts[0].true
        for part in parts[1:]:
            true, false = both(true, part.true), either(false, part.known & ~part.true)
        return Truth(true, true | false)

    def _over(self, node: Over) -> Value:
        rows, parent = self._table.num_rows, self.parent(node.scope)
        holds = self.truth(node.condition, node.scope).true
        every = np.ones(rows, dtype=bool)
        if node.op == "sum":
            value = self.value(node.value or Literal_(0.0), node.scope)
            if not isinstance(value, v.Numbers):
                raise TypeError("sum of what is not a number")
            used = holds & value.known
            total = np.bincount(parent[used], weights=value.data[used], minlength=rows).astype(np.float64)
            return v.Numbers(total, np.bincount(parent[used], minlength=rows) > 0)
        count = np.bincount(parent[holds], minlength=rows)
        if node.op == "count":
            return v.Numbers(count.astype(np.float64), every)
        if node.op == "all":
            return Truth(count == np.bincount(parent, minlength=rows), every)
        return Truth(count > 0, every)


_OPS = {
    "=": np.equal, "<>": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip


def _compare_texts(op: str, left: v.Texts, right: v.Texts) -> Bools:
    if len(right.words) == 1 and (right.codes == 0).all():
        word = right.words[0]
        table = np.array([bool(_OPS[op](one, word)) for one in left.words] + [False])
        return np.asarray(table[left.codes])
    a = np.array([*left.words, ""], dtype=object)[left.codes]
    b = np.array([*right.words, ""], dtype=object)[right.codes]
    return np.asarray(_OPS[op](a, b), dtype=bool)


def _take(value: Value, rows: npt.NDArray[np.int64]) -> Value:
    if isinstance(value, v.Texts):
        return v.Texts(value.codes[rows], value.words)
    if isinstance(value, v.Numbers):
        return v.Numbers(value.data[rows], value.known[rows])
    return Truth(value.true[rows], value.known[rows])


class Matcher:
    """Matches conditions against batches of raw columns; picklable, so that it travels to Spark's workers."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.conditions = tuple(conditions)
        self.columns = tuple(dict.fromkeys(column for condition in conditions for column in condition.columns))
        self._nodes = tuple(dict.fromkeys(condition.node for condition in conditions))
        place = {node: index for index, node in enumerate(self._nodes)}
        self._places = [place[condition.node] for condition in conditions]

    def match(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """A ``[conditions, rows]`` array: true only where the condition is TRUE in SQL's sense."""
        batch = Evaluation(table)
        distinct = np.zeros((len(self._nodes), table.num_rows), dtype=bool)
        for index, node in enumerate(self._nodes):
            distinct[index] = batch.truth(node).true
        return distinct[self._places]

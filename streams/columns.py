"""Spark SQL for what a batch needs of a trace: the raw columns that rules name, its content hash, its last change.

Only these columns are read from the files; span fields leave Spark as parallel lists, which the matcher evaluates whole
columns at a time.  Raw columns are named as in ``rules.matcher`` (``tags[KEY]``, ``spans.attributes[KEY]``, …).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from store.schemas import ASSESSMENT, SPAN, TRACES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Part of every content hash: when the list below changes, raise it: known traces then amend once.
CONTENT_VERSION = 1
TOKENS = "mlflow.trace.tokenUsage"
COST = "mlflow.trace.cost"
SOURCE_RUN = "mlflow.sourceRun"
_KEYED = re.compile(r"^(tags|trace_metadata|spans\.attributes)\[(.*)\]$", re.DOTALL)
_NESTED = {"spans": SPAN, "assessments": ASSESSMENT}


def quoted(name: str) -> str:
    """An identifier for Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A string literal for Spark SQL; nothing in ``text`` can end it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _ddl(kind: Any) -> str:
    types = pa.types
    if types.is_timestamp(kind):
        return "timestamp"
    if types.is_floating(kind):
        return "double"
    if types.is_integer(kind):
        return "bigint"
    if types.is_map(kind):
        return "map<string,string>"
    if types.is_list(kind):
        return f"array<{_ddl(kind.value_type)}>"
    if types.is_struct(kind):
        inner = ",".join(f"{quoted(field.name)}:{_ddl(field.type)}" for field in kind)
        return f"struct<{inner}>"
    return "string"


class Shape:
    """What a source's table has: our columns by the table's names, and which fields its structs have."""

    def __init__(self, schema: Any, columns: dict[str, str] | None = None) -> None:
        self._columns = columns or {}
        self._have = {field.name: field.dataType for field in schema.fields}

    def base(self) -> list[str]:
        """A select list that gives every column of a trace its name and type; columns that are missing are null."""
        out = []
        for field in TRACES:
            name, ddl = self._columns.get(field.name, field.name), _ddl(field.type)
            if name not in self._have:
                out.append(f"cast(null as {ddl}) as {quoted(field.name)}")
            elif pa.types.is_list(field.type) or pa.types.is_map(field.type):
                out.append(f"{quoted(name)} as {quoted(field.name)}")
            else:
                out.append(f"try_cast({quoted(name)} as {ddl}) as {quoted(field.name)}")
        return out

    def fields(self, column: str) -> frozenset[str]:
        """The fields of the structs in the list ``column`` (all of ours where the column is missing)."""
        kind = self._have.get(self._columns.get(column, column))
        if kind is None:
            return frozenset(field.name for field in _NESTED[column])
        return frozenset(field.name for field in kind.elementType.fields)

    def raw(self, name: str) -> str:
        """The expression of one raw column, over the result of :meth:`base`."""
        if match := _KEYED.match(name):
            place, key = match[1], literal(match[2])
            if place != "spans.attributes":
                return f"try_element_at({place}, {key})"
            if "attributes" not in self.fields("spans"):
                return "transform(spans, s -> cast(null as string))"
            return f"transform(spans, s -> try_element_at(s.attributes, {key}))"
        column, _, field = name.partition(".")
        return self.field(column, field) if field else quoted(column)

    def field(self, column: str, field: str) -> str:
        """One field of every struct in a list, as a list."""
        return f"transform({column}, s -> {self.item(column, field)})"

    def item(self, column: str, field: str) -> str:
        """One field of the struct ``s`` of the list ``column``, in our type, null where there is none."""
        ddl = _ddl(_NESTED[column].field(field).type)
        return f"try_cast(s.{field} as {ddl})" if field in self.fields(column) else f"cast(null as {ddl})"

    def content_hash(self) -> str:
        """A 64-bit hash of the fixed list of SEMANTICS 1; null and empty are one, order is not seen."""
        return (
            f"xxhash64({CONTENT_VERSION}, coalesce(state, ''), coalesce(unix_micros(request_time), -1), "
            "coalesce(try_cast(round(execution_duration_ms * 1000) as bigint), -1), "
            "array_sort(transform(map_entries(map_filter(tags, (k, v) -> k != 'eval_candidate' AND "
            "NOT startswith(k, 'tracesieve.'))), e -> struct(e.key as k, coalesce(e.value, '') as v))), "
            + ", ".join(f"coalesce(try_element_at(trace_metadata, {literal(key)}), '')" for key in (TOKENS, COST, SOURCE_RUN))
            + f", {self._assessments()}, {self._spans()})"
        )

    def _assessments(self) -> str:
        texts = ("assessment_id", "assessment_name", "source_type", "source_id", "feedback_value", "feedback_error",
                 "expectation_value", "rationale", "span_id")  # fmt: skip
        parts = [f"coalesce({self.item('assessments', name)}, '') as {name}" for name in texts]
        times = [f"coalesce(unix_micros({self.item('assessments', name)}), -1) as {name}"
                 for name in ("create_time", "last_update_time")]  # fmt: skip
        return f"array_sort(transform(coalesce(assessments, array()), s -> struct({', '.join(parts + times)})))"

    def _spans(self) -> str:
        has_attributes = "attributes" in self.fields("spans")
        kind = "try_element_at(s.attributes, 'mlflow.spanType')" if has_attributes else "''"
        status = f"upper(coalesce({self.item('spans', 'status_code')}, ''))"
        parts = [
            f"coalesce({self.item('spans', 'span_id')}, '') as i",
            f"coalesce({self.item('spans', 'name')}, '') as n",
            f"coalesce({kind}, '') as k",
            f"case when {status} in ('2', 'STATUS_CODE_ERROR') then 'ERROR' else {status} end as c",
            f"coalesce(unix_micros({self.item('spans', 'start_time')}), -1) as a",
            f"coalesce(unix_micros({self.item('spans', 'end_time')}), -1) as b",
        ]
        return f"array_sort(transform(spans, s -> struct({', '.join(parts)})))"

    def change_us(self) -> str:
        """The latest change inside a trace: its end, any span's end, any assessment's update; 0 where there is none."""
        ends = f"array_max({self.field('spans', 'end_time')})"
        told = f"array_max({self.field('assessments', 'last_update_time')})"
        made = f"array_max({self.field('assessments', 'create_time')})"
        took = "coalesce(try_cast(round(greatest(execution_duration_ms, 0) * 1000) as bigint), 0)"
        end = f"try_add(unix_micros(request_time), {took})"
        others = ", ".join(f"unix_micros({text})" for text in (ends, told, made))
        return f"coalesce(greatest({end}, {others}), 0)"


# What every fact needs, whatever the rules: name in the narrow row -> expression over the result of Shape.base().
PLAIN = {
    "_trace_id": "trace_id",
    "_experiment_id": "experiment_id",
    "_experiment": "coalesce(nullif(experiment_name, ''), experiment_id, '')",
    "_start_us": "unix_micros(request_time)",
    "_duration_ms": "execution_duration_ms",
    "_state": "state",
    "_source_run": f"try_element_at(trace_metadata, {literal(SOURCE_RUN)})",
    "_judge": "coalesce(try_element_at(trace_metadata, 'mlflow.trace.sourceScorer'), "
    "try_element_at(tags, 'mlflow.trace.sourceScorer'))",
    # A person's own: the one that we delivered is in tracesieve.category too.
    "_candidate": "case when coalesce(try_element_at(tags, 'tracesieve.category'), '') <> try_element_at(tags, 'eval_candidate') "
    "then nullif(try_element_at(tags, 'eval_candidate'), '') end",
    "_landed_us": "landed_us",
    "_file": "input_file_name()",
}


def plain_names(columns: Sequence[str]) -> list[str]:
    """The names under which raw columns travel: ``mapInArrow`` does not take names with dots and brackets."""
    return [f"c{number}" for number in range(len(columns))]


def raw_frame(frame: DataFrame, columns: Sequence[str], mapping: dict[str, str] | None = None) -> DataFrame:
    """The source's rows as raw columns plus ``_…`` columns for the fact itself."""
    shape = Shape(frame.schema, mapping)
    own = {**PLAIN, "_content_hash": shape.content_hash(), "_change_us": shape.change_us()}
    lines = [f"{text} as {quoted(name)}" for name, text in own.items()]
    lines += [f"{shape.raw(name)} as {plain}" for name, plain in zip(columns, plain_names(columns), strict=True)]
    return frame.selectExpr(*shape.base()).selectExpr(*lines)

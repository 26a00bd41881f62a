"""Spark SQL for what a batch needs of a trace: the raw columns that rules name, its content hash, its last
change.

Only these columns are read from the files: a field of spans is taken as ``spans.name``, which Spark prunes to
that field (inside a lambda over ``spans`` it would read the whole struct).  Span fields leave Spark as
parallel lists, which the matcher evaluates whole columns at a time.  Raw columns are named as in
``rules.matcher`` (``tags[KEY]``, ``spans.attributes[KEY]``, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from store.schemas import ASSESSMENT, LOCATED, LOCATION, SPAN, TRACES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Part of every content hash: when the list below changes, raise it: known traces then amend once.
CONTENT_VERSION = 2
TOKENS = "mlflow.trace.tokenUsage"
COST = "mlflow.trace.cost"
SOURCE_RUN = "mlflow.sourceRun"
_KEYED = re.compile(r"^(tags|trace_metadata|spans\.attributes|spans\.events)\[(.*)\]$", re.DOTALL)
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
    """What a source's table has: our columns by the table's names, and which fields its structs have.

    All methods give Spark SQL over the source's own columns.
    """

    def __init__(self, schema: Any, columns: dict[str, str] | None = None) -> None:
        self._columns = columns or {}
        self._have = {field.name: field.dataType for field in schema.fields}

    def column(self, name: str) -> str:
        """A column of a trace in our type, null where the table has none."""
        source, kind = self._columns.get(name, name), TRACES.field(name).type
        if source not in self._have:
            return self._located(name) or f"cast(null as {_ddl(kind)})"
        if pa.types.is_list(kind) or pa.types.is_map(kind) or self._have[source].simpleString() == _ddl(kind):
            return self._without_ours(quoted(source)) if name == "assessments" else quoted(source)
        return f"try_cast({quoted(source)} as {_ddl(kind)})"

    def _without_ours(self, assessments: str) -> str:
        """Assessments without those that we wrote: they are no content (SEMANTICS 1), as tags of ours.

        In each expression that reads them, not in a projection of its own: that would read whole spans.
        """
        if not {"assessment_name", "source_id"} <= self.fields("assessments").keys():
            return assessments
        # A reference to an issue is named by the id.
        named = " OR ".join(f"startswith(x.assessment_name, '{begin}')" for begin in ("tracesieve.", "iss-"))
        ours = f"x.source_id = 'tracesieve' AND ({named})"
        return f"filter({assessments}, x -> not coalesce({ours}, false))"

    def _located(self, name: str) -> str:
        """What the place of a trace says of a column that the table lacks; empty where it says nothing."""
        path, place = LOCATED.get(name, ()), self._have.get(LOCATION)
        if not path or place is None:
            return ""
        if place.typeName() == "string":
            return f"get_json_object({quoted(LOCATION)}, {literal('$.' + '.'.join(path))})"
        for one in path:
            if place.typeName() != "struct" or one not in place.fieldNames():
                return ""
            place = place[one].dataType
        return f"cast({'.'.join(map(quoted, (LOCATION, *path)))} as string)"

    def fields(self, column: str) -> dict[str, str]:
        """The fields of the structs in the list ``column`` and their types (none where the column is
        missing).
        """
        kind = self._have.get(self._columns.get(column, column))
        return (
            {}
            if kind is None
            else {field.name: field.dataType.simpleString() for field in kind.elementType.fields}
        )

    def field(self, column: str, field: str) -> str:
        """One field of every struct in a list, as a list in our type: nulls where the structs lack it."""
        ddl, there = _ddl(_NESTED[column].field(field).type), self.fields(column)
        if not there:
            return f"cast(null as array<{ddl}>)"
        if field not in there:
            return f"transform({self.column(column)}.{quoted(next(iter(there)))}, x -> cast(null as {ddl}))"
        found = f"{self.column(column)}.{quoted(field)}"
        return found if there[field] == ddl else f"transform({found}, x -> try_cast(x as {ddl}))"

    def attribute(self, key: str) -> str:
        """One attribute of every span, as a list."""
        return f"transform({self.field('spans', 'attributes')}, a -> try_element_at(a, {literal(key)}))"

    def event_attribute(self, key: str) -> str:
        """One attribute of the last event of every span that has it, as a list of texts."""
        if not self._events_have_attributes():
            return f"transform({self.field('spans', 'span_id')}, x -> cast(null as string))"
        values = f"transform(es.attributes, a -> cast(try_element_at(a, {literal(key)}) as string))"
        last = f"try_element_at(filter({values}, x -> x is not null), -1)"
        return f"transform({self.column('spans')}.events, es -> {last})"

    def _events_have_attributes(self) -> bool:
        spans = self._have.get(self._columns.get("spans", "spans"))
        fields = {} if spans is None else {one.name: one.dataType for one in spans.elementType.fields}
        return "events" in fields and "attributes:map<string" in fields["events"].simpleString()

    def raw(self, name: str) -> str:
        """The expression of one raw column."""
        if match := _KEYED.match(name):
            place, key = match[1], match[2]
            if place == "spans.attributes":
                return self.attribute(key)
            if place == "spans.events":
                return self.event_attribute(key)
            return f"try_element_at({self.column(place)}, {literal(key)})"
        column, _, field = name.partition(".")
        return self.field(column, field) if field else self.column(column)

    def content_hash(self) -> str:
        """A 64-bit hash of the fixed list of SEMANTICS 1; the order of tags, spans and assessments is not
        seen.
        """
        metadata = self.column("trace_metadata")
        return (
            f"xxhash64({CONTENT_VERSION}, coalesce({self.column('state')}, ''), "
            f"coalesce(unix_micros({self.column('request_time')}), -1), "
            f"coalesce(try_cast(round({self.column('execution_duration_ms')} * 1000) as bigint), -1), "
            + ", ".join(
                f"coalesce(try_element_at({metadata}, {literal(key)}), '')"
                for key in (TOKENS, COST, SOURCE_RUN)
            )
            + f", {self._tags()}, {self._assessments()}, {self._spans()})"
        )

    def _tags(self) -> str:
        kept = (
            f"map_filter({self.column('tags')}, (k, v) -> k != 'eval_candidate' AND NOT startswith(k, "
            "'tracesieve.'))"
        )
        return f"xxhash64(sort_array(map_entries({kept})))"

    def _assessments(self) -> str:
        names = (
            "assessment_id",
            "assessment_name",
            "create_time",
            "source_type",
            "last_update_time",
            "source_id",
            "feedback_value",
            "feedback_error",
            "expectation_value",
            "rationale",
            "span_id",
        )
        return _hash_of_sorted(self.field("assessments", name) for name in names)

    def _spans(self) -> str:
        status = self.field("spans", "status_code")
        # Only the spellings of "error" that are not ERROR itself cost a pass over the spans (SEMANTICS 4).
        spelled = " OR ".join(f"array_contains({status}, '{code}')" for code in ("2", "STATUS_CODE_ERROR"))
        one = f"transform({status}, x -> case when x in ('2', 'STATUS_CODE_ERROR') then 'ERROR' else x end)"
        return _hash_of_sorted(
            [
                self.field("spans", "span_id"),
                self.field("spans", "name"),
                self.field("spans", "start_time"),
                f"case when {spelled} then {one} else {status} end",
                self.field("spans", "end_time"),
                self.attribute("mlflow.spanType"),
            ]
        )

    def change_us(self) -> str:
        """The latest change inside a trace: its end, any span's end, any assessment's update; 0 where there
        is none.
        """
        start, took = self.column("request_time"), self.column("execution_duration_ms")
        took_us = f"coalesce(try_cast(round(greatest({took}, 0) * 1000) as bigint), 0)"
        times = (("spans", "end_time"), ("assessments", "last_update_time"), ("assessments", "create_time"))
        others = ", ".join(f"unix_micros(array_max({self.field(*place)}))" for place in times)
        end = f"try_add(unix_micros({start}), {took_us})"
        return f"coalesce(greatest({end}, {others}), 0)"

    def plain(self) -> dict[str, str]:
        """What every fact needs, whatever the rules, by its name in the narrow row."""
        named = {name: self.column(name) for name in ("trace_id", "experiment_id", "state", "landed_us")}
        metadata = self.column("trace_metadata")
        scorer = [
            f"try_element_at({place}, 'mlflow.trace.sourceScorer')"
            for place in (metadata, self.column("tags"))
        ]
        return {
            **named,
            "experiment": f"coalesce(nullif({self.column('experiment_name')}, ''), "
            f"{self.column('experiment_id')}, '')",
            "start_us": f"unix_micros({self.column('request_time')})",
            "duration_ms": self.column("execution_duration_ms"),
            "source_run": f"try_element_at({metadata}, {literal(SOURCE_RUN)})",
            "judge": f"coalesce({', '.join(scorer)})",
            "label": self._label(),
            "file": "input_file_name()",
            "content_hash": self.content_hash(),
            "change_us": self.change_us(),
        }

    def _label(self) -> str:
        """The category that a person gave: one that we delivered is in ``tracesieve.category`` too."""
        theirs, ours = (
            f"try_element_at({self.column('tags')}, '{key}')"
            for key in ("eval_candidate", "tracesieve.category")
        )
        return f"case when coalesce({ours}, '') <> {theirs} then nullif({theirs}, '') end"


def _hash_of_sorted(lists: Iterable[str]) -> str:
    """A hash of parallel lists in which the order of their items is not seen.

    Each such hash is an expression of its own: in one with all the others, the code that Spark makes of it is
    more than the JVM compiles.
    """
    return f"xxhash64(sort_array(arrays_zip({', '.join(lists)})))"


def plain_names(columns: Sequence[str]) -> list[str]:
    """The names under which raw columns travel: ``mapInArrow`` does not take names with dots and brackets."""
    return [f"c{number}" for number in range(len(columns))]


def raw_frame(frame: DataFrame, columns: Sequence[str], mapping: dict[str, str] | None = None) -> DataFrame:
    """The source's rows as raw columns plus ``_…`` columns for the fact itself."""
    shape = Shape(frame.schema, mapping)
    lines = [f"{text} as {quoted('_' + name)}" for name, text in shape.plain().items()]
    lines += [
        f"{shape.raw(name)} as {plain}" for name, plain in zip(columns, plain_names(columns), strict=True)
    ]
    return frame.selectExpr(*lines)

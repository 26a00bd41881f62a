"""Attributes of the events of spans: Spark takes out what the matcher takes out of a table in memory, and
reads nothing else of the spans.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rules.dialect import compile_condition
from rules.matcher import Matcher, raw_table
from store.schemas import TRACES
from streams.batch.columns import Shape, raw_frame

pytestmark = pytest.mark.spark
T0 = datetime(2026, 1, 1, tzinfo=UTC)
SAID = [("exception.type", "TimeoutError"), ("exception.message", "it's late")]
EVENTS: list[Any] = [
    None,
    [],
    [{"name": "exception", "timestamp": T0, "attributes": SAID}],
    [
        {"name": "exception", "timestamp": T0, "attributes": [("exception.type", "KeyError")]},
        {"name": "exception", "timestamp": T0, "attributes": SAID},
        {"name": "retry", "timestamp": T0, "attributes": None},
    ],
]
CONDITION = "span.exception.type = 'TimeoutError' AND span.exception.message LIKE 'it%'"


def table(schema: pa.Schema = TRACES) -> pa.Table:
    spans = [{"span_id": str(n), "name": "s", "start_time": T0, "events": of} for n, of in enumerate(EVENTS)]
    rows = [
        {"trace_id": "a", "spans": spans},
        {"trace_id": "b", "spans": None},
        {"trace_id": "c", "spans": []},
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def with_events(kind: pa.DataType | None) -> pa.Schema:
    """The schema of traces with events of another type, or with none."""
    span = [one for one in TRACES.field("spans").type.value_type if one.name != "events"]
    span += [] if kind is None else [pa.field("events", kind)]
    place = TRACES.get_field_index("spans")
    return TRACES.set(place, pa.field("spans", pa.list_(pa.struct(span))))


def test_spark_and_memory_take_out_the_same(spark: Any, tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "t.parquet")
    columns = compile_condition(CONDITION).columns
    frame = raw_frame(spark.read.parquet(str(tmp_path / "t.parquet")), columns)
    rows = {row["_trace_id"]: [row[f"c{n}"] for n in range(len(columns))] for row in frame.collect()}
    raw = raw_table(table(), columns)
    expected = [raw[name].to_pylist() for name in columns]
    assert [rows[one] for one in "ac"] == [[list_[n] for list_ in expected] for n in (0, 2)]
    assert rows["a"][0] == [None, None, "TimeoutError", "TimeoutError"]
    assert Matcher([compile_condition(CONDITION)]).match(raw).tolist() == [[True, False, False]]
    source = spark.read.parquet(str(tmp_path / "t.parquet"))
    alone = source.selectExpr(*(f"{Shape(source.schema).raw(one)} as x{n}" for n, one in enumerate(columns)))
    plan = alone._jdf.queryExecution().executedPlan().toString()
    assert "events" in plan and "span_id" not in plan and "status_code" not in plan


@pytest.mark.parametrize("kind", [None, pa.list_(pa.struct([("name", pa.string())])), pa.list_(pa.string())])
def test_a_table_without_attributes_of_events_has_no_exceptions(
    spark: Any, tmp_path: Path, kind: pa.DataType | None
) -> None:
    empty = pa.Table.from_pylist([{"trace_id": "a", "spans": [{"span_id": "x"}]}], schema=with_events(kind))
    pq.write_table(empty, tmp_path / "t.parquet")
    columns = compile_condition(CONDITION).columns
    frame = raw_frame(spark.read.parquet(str(tmp_path / "t.parquet")), columns)
    assert [row["c0"] for row in frame.collect()] == [[None]]
    assert raw_table(empty, columns)[columns[0]].to_pylist() == [[None]]

"""Content by trace id and start day, from tables of any shape that a Delta source may have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from rules.dialect import compile_condition
from rules.matcher import Matcher, explain, raw_table
from rules.units import DAY_US
from store import StoreError, open_store
from store.content import TraceTable
from store.schemas import TRACES

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000


CONFIGURATION: dict[str, str] = {}


@pytest.fixture(params=["false", "true"], ids=["scan", "files"], autouse=True)
def readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that Polars scans, and tables that ask something of their readers, of which files are read."""
    monkeypatch.setitem(CONFIGURATION, "delta.enableDeletionVectors", request.param)


def table(path: Path, rows: list[dict[str, Any]], **types: Any) -> str:
    kinds = {
        "trace_id": pa.string(),
        "request_time": pa.timestamp("us", "UTC"),
        "execution_duration_ms": pa.float64(),
        "request": pa.string(),
        "response": pa.string(),
        **types,
    }
    schema = pa.schema([(name, kind) for name, kind in kinds.items() if name in rows[0]])
    made = pa.Table.from_pylist(rows, schema=schema)
    write_deltalake(str(path), made, mode="append", configuration=CONFIGURATION)
    return str(path)


def test_sem_20_content_is_found_by_id_and_start_day_alone(tmp_path: Path) -> None:
    rows = [
        {"trace_id": f"t{i}", "request_time": START + timedelta(days=i), "request": f"q{i}", "response": None}
        for i in range(5)
    ]
    found = TraceTable(table(tmp_path, rows))
    assert found.contents({"t1": START_US + DAY_US, "t3": START_US + 3 * DAY_US, "none": START_US}) == {
        "t1": ("q1", None),
        "t3": ("q3", None),
    }
    assert found.contents({"t1": START_US + 9 * DAY_US, "t3": START_US + 3 * DAY_US}) == {"t3": ("q3", None)}
    assert found.contents({}) == {}


def test_sem_20_columns_are_mapped_and_may_be_missing_or_of_another_type(tmp_path: Path) -> None:
    mapped = {"trace_id": "id", "request_time": "at", "request": "ask"}
    rows = [{"id": "t1", "at": START.replace(tzinfo=None), "ask": "q"}]
    path = table(tmp_path, rows, id=pa.large_string(), at=pa.timestamp("us"), ask=pa.string())
    found = TraceTable(path, mapped)
    assert found.contents({"t1": START_US}) == {"t1": ("q", None)}
    assert found.row("t1", START_US).column("trace_id").to_pylist() == ["t1"]
    assert found.row("t1", None).column("request").to_pylist() == ["q"]
    assert found.row("t2", None) is None


def test_sem_20_a_column_that_has_the_name_of_a_mapped_one_is_another(tmp_path: Path) -> None:
    rows = [{"trace_id": "t1", "request_time": START, "request": "headers", "ask": "q"}]
    found = TraceTable(table(tmp_path, rows, ask=pa.string()), {"request": "ask"})
    assert found.contents({"t1": START_US}) == {"t1": ("q", None)}
    assert found.row("t1", START_US).column("request").to_pylist() == ["q"]


def test_sem_20_of_several_rows_the_last_one_stands(tmp_path: Path) -> None:
    rows = [
        {
            "trace_id": "t1",
            "request_time": START,
            "execution_duration_ms": ms,
            "request": "q",
            "response": f"{ms:.0f}",
        }
        for ms in (1.0, 5_000_000.0, 2.0)
    ]
    assert TraceTable(table(tmp_path / "own", rows)).contents({"t1": START_US}) == {"t1": ("q", "5000000")}
    landed = [{**row, "landed_us": at} for row, at in zip(rows, (3, 1, 2), strict=True)]
    found = TraceTable(table(tmp_path / "landed", landed, landed_us=pa.int64()))
    assert found.contents({"t1": START_US}) == {"t1": ("q", "1")}


def test_sem_20_a_table_that_may_have_deletion_vectors_is_read(tmp_path: Path) -> None:
    span = {
        "span_id": "s",
        "name": "search",
        "status_code": "ERROR",
        "status_message": "down",
        "attributes": [("mlflow.spanType", '"TOOL"')],
    }
    kinds = (
        TRACES.remove(TRACES.get_field_index("landed_us"))
        .remove(TRACES.get_field_index("response"))
        .append(pa.field("response", pa.int64()))
    )
    row = {
        "trace_id": "t1",
        "request_time": START,
        "request": "q",
        "response": 7,
        "tags": [("env", "prod")],
        "spans": [span],
    }
    rows = pa.Table.from_pylist([row], schema=kinds)
    write_deltalake(str(tmp_path), rows, configuration={"delta.enableDeletionVectors": "true"})
    found = TraceTable(str(tmp_path))
    assert found.samples({"t1": START_US}) == {"t1": ("q", "down")}
    whole = found.row("t1", START_US)
    condition = compile_condition("tags.env = 'prod' AND any(span, type = 'TOOL' AND status = 'ERROR')")
    assert Matcher([condition]).match(raw_table(whole, condition.columns)).tolist() == [[True]]
    assert whole.column("response").to_pylist() == ["7"]


def test_sem_20_a_file_that_delta_rs_rewrote_is_read(tmp_path: Path) -> None:
    spans = [{"span_id": "s", "name": "search", "attributes": [("mlflow.spanType", '"TOOL"')]}]
    rows = [
        {
            "trace_id": f"t{n}",
            "request_time": START,
            "request": f"q{n}",
            "tags": [("env", "prod")],
            "spans": spans,
        }
        for n in range(3)
    ]
    write_deltalake(str(tmp_path), pa.Table.from_pylist(rows, TRACES), configuration=CONFIGURATION)
    DeltaTable(str(tmp_path)).delete("trace_id = 't1'")
    found = TraceTable(str(tmp_path))
    assert found.contents({"t0": START_US, "t1": START_US}) == {"t0": ("q0", None)}
    assert found.row("t2", START_US).column("request").to_pylist() == ["q2"]
    condition = compile_condition("tags.env = 'prod' AND span.type = 'TOOL'")
    starts = pl.DataFrame({"trace_id": ["t0", "t1", "t2"], "start_us": [START_US] * 3})
    pieces = found.each(starts, condition.columns, lambda piece: piece.select(["trace_id", "tags", "spans"]))
    whole = pa.concat_tables(pieces)
    assert whole["trace_id"].to_pylist() == ["t0", "t2"]
    assert Matcher([condition]).match(raw_table(whole, condition.columns)).tolist() == [[True, True]]


def test_a_row_of_a_table_whose_spans_have_few_fields_can_be_explained(tmp_path: Path) -> None:
    short = pa.struct(
        [("span_id", pa.string()), ("name", pa.string()), ("attributes", pa.map_(pa.string(), pa.string()))]
    )
    spans = [{"span_id": "s", "name": "search", "attributes": [("mlflow.spanType", '"TOOL"')]}]
    whole = TraceTable(
        table(tmp_path, [{"trace_id": "t1", "request_time": START, "spans": spans}], spans=pa.list_(short))
    ).row("t1", START_US)
    condition = compile_condition(
        "any(span, type = 'TOOL' AND span.name = 'search') AND NOT any(span, status = 'ERROR')"
    )
    assert explain(condition, raw_table(whole, condition.columns))["matched"] is True


def test_sem_20_one_column_may_stand_for_two_of_ours_and_a_missing_one_is_named(tmp_path: Path) -> None:
    rows = [{"trace_id": "t1", "request_time": START, "request": "q"}]
    path = table(tmp_path, rows)
    both = {"request": "request", "response": "request"}
    assert TraceTable(path, both).contents({"t1": START_US}) == {"t1": ("q", "q")}
    with pytest.raises(StoreError, match="has no column trace_id"):
        TraceTable(path, {"trace_id": "id"}).contents({"t1": START_US})


def test_sem_20_an_empty_table_holds_nothing(tmp_path: Path) -> None:
    path = table(tmp_path, [{"trace_id": "t1", "request_time": START, "request": "q"}])
    DeltaTable(path).delete()
    assert TraceTable(path).contents({"t1": START_US}) == {}
    assert TraceTable(path).row("t1", None) is None


def test_sem_20_of_a_large_file_only_the_rows_asked_for_are_taken(tmp_path: Path) -> None:
    rows = [
        {"trace_id": f"t{i}", "request_time": START, "request": f"q{i}", "response": None}
        for i in range(2_500)
    ]
    path = table(tmp_path, rows)
    wanted = {f"t{i}": START_US for i in (0, 999, 1_000, 2_499)}
    assert TraceTable(path).contents(wanted) == {key: (f"q{key[1:]}", None) for key in wanted}


def test_sem_20_an_experiment_is_known_by_the_place_of_the_trace(tmp_path: Path) -> None:
    place = pa.struct([("mlflow_experiment", pa.struct([("experiment_id", pa.string())]))])
    row = {
        "trace_id": "t1",
        "request_time": START,
        "trace_location": {"mlflow_experiment": {"experiment_id": "7"}},
    }
    whole = TraceTable(table(tmp_path, [row], trace_location=place)).row("t1", START_US)
    assert whole.column("experiment_id").to_pylist() == ["7"]
    condition = compile_condition("experiment = '7'")
    assert Matcher([condition]).match(raw_table(whole, condition.columns)).tolist() == [[True]]


def test_sem_20_a_row_that_comes_later_is_seen_and_a_broken_table_is_told(tmp_path: Path) -> None:
    assert TraceTable(open_store(str(tmp_path / "st")).table("traces").uri).contents({"t1": START_US}) == {}
    row = {"trace_id": "t1", "request_time": START, "request": "q", "response": "a"}
    found = TraceTable(table(tmp_path / "t", [row]))
    assert set(found.contents({"t1": START_US, "t2": START_US})) == {"t1"}
    table(tmp_path / "t", [{**row, "trace_id": "t2"}])
    assert set(found.contents({"t1": START_US, "t2": START_US})) == {"t1", "t2"}
    for file in (tmp_path / "t").glob("*.parquet"):
        file.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        found.contents({"t1": START_US})


def test_tags_and_metadata_of_traces_are_read_by_id(tmp_path: Path) -> None:
    rows = [
        {
            "trace_id": "a",
            "request_time": 1,
            "tags": [("k", "1"), ("n", None)],
            "trace_metadata": [("m", "2")],
        },
        {"trace_id": "b", "request_time": 1, "tags": None, "trace_metadata": []},
    ]
    for number, kinds in enumerate((TRACES, TRACES.remove(TRACES.get_field_index("tags")))):
        place = str(tmp_path / str(number))
        write_deltalake(place, pa.Table.from_pylist(rows, schema=kinds))
        tags = {"tags.k": "1"} if number == 0 else {}
        found = TraceTable(place).labels({"a": 1, "b": 1, "c": 1})
        assert found == {"a": {**tags, "metadata.m": "2"}, "b": {}}
    assert TraceTable(str(tmp_path / "none")).labels({"a": 1}) == {}

"""What single rows may hold: absurd values, broken bytes, other types of columns."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import convert_to_deltalake
from support.content_cases import SECOND, counted, micros
from support.delta_cases import SHORT, T0, ends, rule_set, trace, write

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store

pytestmark = pytest.mark.spark


def invalid(values: list[bytes | None]) -> Any:
    """A string column whose bytes are not checked."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


def odd_rules() -> RuleSet:
    rules = [
        {"id": "asks", "when": "request LIKE '%needle%'", "tag": "edge_case"},
        {"id": "many", "when": "count(span, type = 'TOOL') > 9000", "tag": "edge_case"},
        {"id": "prod", "when": "tags.environment = 'production'", "tag": "edge_case"},
    ]
    return build_rule_set([parse_rule(rule) for rule in rules])


def odd_rows() -> dict[str, dict[str, Any]]:
    usage, cost = "mlflow.trace.tokenUsage", "mlflow.trace.cost"
    tool = {**trace(1)["spans"][1]}
    return {
        "tokens": {"trace_metadata": [(usage, "{broken")]},
        "cost": {"trace_metadata": [(cost, "[1]")]},
        "deep": {"trace_metadata": [(usage, "[" * 10_000)]},
        "year-1": {"request_time": datetime(1, 1, 1, tzinfo=UTC)},
        "year-9999": {"request_time": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)},
        "nan": {"execution_duration_ms": float("nan")},
        "inf": {"execution_duration_ms": float("inf")},
        "huge": {"execution_duration_ms": 1e300},
        "large": {"execution_duration_ms": 9.2e15},
        "negative": {"execution_duration_ms": -5.0},
        "none": {"execution_duration_ms": None},
        "no-spans": {"spans": []},
        "null-spans": {"spans": None, "tags": None, "trace_metadata": None, "assessments": None},
        "null-in-spans": {"spans": [None, tool]},
        "10000-spans": {"spans": [{**tool, "span_id": str(n)} for n in range(10_000)]},
        "5-MB": {"request": "x" * 5_000_000 + "needle"},
        "twice-tagged": {"tags": [("environment", "production"), ("environment", "test")]},
        "waits": {"state": "IN_PROGRESS"},
        "what": {"state": "WHAT"},
        "bytes": {},
    }


def write_odd(folder: Path, odd: dict[str, dict[str, Any]]) -> None:
    """A table of the odd rows, one of which has bytes in its id and its experiment that are no UTF-8."""
    rows = [{**trace(n), "trace_id": name, **changes} for n, (name, changes) in enumerate(odd.items())]
    table = pa.Table.from_pylist(rows, schema=SHORT)
    columns: dict[str, list[bytes | None]] = {
        "trace_id": [name.encode() if name != "bytes" else b"by\xfftes" for name in odd],
        "experiment_name": [b"support"] * (len(odd) - 1) + [b"\xc3(support"],
    }
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, invalid(values))
    folder.mkdir()
    pq.write_table(table, folder / "odd.parquet")
    convert_to_deltalake(str(folder))


@pytest.fixture(scope="module")
def odd_facts(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, Any]]:
    """The store and the facts that a run over the odd rows leaves."""
    folder = tmp_path_factory.mktemp("odd")
    write_odd(folder / "source", odd_rows())
    facts = counted(spark, folder, odd_rules())
    return open_store(str(folder / "store")), facts


def test_sem_04_absurd_values_are_counted_as_far_as_they_go(odd_facts: tuple[Store, dict[str, Any]]) -> None:
    _, facts = odd_facts
    odd = odd_rows()
    missing = ["bytes", "waits", "what", "year-1"]  # the year 1 is older than the horizon
    assert sorted(set(odd) - set(facts)) == missing
    assert set(facts) - set(odd) == {"by\ufffdtes"}
    assert facts["by\ufffdtes"]["experiment"] == "\ufffd(support"
    no_duration = ("nan", "inf", "huge", "large", "none")
    assert [facts[name]["duration_us"] for name in no_duration] == [None] * 5
    assert [facts[name]["duration_us"] for name in ("negative", "tokens")] == [0, 100_000]
    assert facts["none"]["end_us"] == facts["none"]["start_us"]
    assert facts["year-9999"]["start_us"] == micros(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    assert [facts[name]["tokens_total"] for name in ("tokens", "cost", "deep")] == [None] * 3
    by_rule: dict[str, list[str]] = {}
    for name, fact in facts.items():
        for hit in fact["hits"]:
            by_rule.setdefault(hit["rule"], []).append(name)
    assert (by_rule["asks"], by_rule["many"]) == (["5-MB"], ["10000-spans"])
    assert "null-spans" not in by_rule["prod"]


def test_sem_08_what_cannot_be_read_is_quarantined_and_stops_nothing(
    odd_facts: tuple[Store, dict[str, Any]],
) -> None:
    store, _ = odd_facts
    rows = len(odd_rows())
    reasons = dict(store.table("quarantine").read().select("trace_id", "reason").iter_rows())
    assert reasons == {
        "tokens": "broken_token_json",
        "cost": "broken_cost_json",
        "deep": "broken_token_json",
        "what": "unknown_state",
        **dict.fromkeys(("nan", "inf", "huge", "large", "negative"), "duration_out_of_range"),
    }
    nothing = {"duplicates": 0, "amended": 0, "late": 0, "deleted": 0}
    assert ends(store) == {"rows": rows, "counted": rows - 3, "quarantined": 9, **nothing}
    batch = store.table("batches").read(where=pl.col("phase") == "end")
    assert (batch["expired"].sum(), batch["in_progress"].sum()) == (1, 1)


SHORT_SPAN = pa.struct(
    [
        ("span_id", pa.string()),
        ("name", pa.string()),
        ("start_time", pa.timestamp("us")),
        ("end_time", pa.timestamp("us")),
        ("status_code", pa.int32()),
    ]
)
OTHER_COLUMNS = pa.schema(
    [
        ("my id", pa.string()),
        ("request_time", pa.timestamp("us")),
        ("state", pa.string()),
        ("execution_duration_ms", pa.decimal128(12, 3)),
        ("trace_metadata", pa.map_(pa.string(), pa.string())),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("spans", pa.list_(SHORT_SPAN)),
        ("written", pa.int32()),
    ]
)


def other_row(**changes: Any) -> dict[str, Any]:
    begin = datetime(2026, 11, 20, 12, 0)  # noqa: DTZ001 - a timestamp without a zone is what this is about
    times = {"start_time": begin, "end_time": begin + 9 * SECOND}
    row = {
        "my id": "a",
        "request_time": begin,
        "state": "OK",
        "execution_duration_ms": Decimal("1500.125"),
        "trace_metadata": [],
        "tags": [],
        "spans": [{"span_id": "s", "name": "search", "status_code": 2, **times}],
        "written": 5,
    }
    return {**row, **changes}


def test_other_widths_zones_and_names_of_columns_and_structs_that_lack_fields(
    spark: Any, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    rows = pa.Table.from_pylist([other_row(), other_row(**{"my id": "b", "spans": []})], schema=OTHER_COLUMNS)
    pq.write_table(rows, tmp_path / "source" / "rows.parquet")
    convert_to_deltalake(str(tmp_path / "source"))
    rules = [
        {"id": "failed", "when": "any(span, status = 'ERROR' AND name = 'search')", "tag": "error_case"},
        {"id": "tool", "when": "any(span, type = 'TOOL')", "tag": "error_case"},
    ]
    columns = (("trace_id", "my id"), ("landed_us", "written"))
    facts = counted(spark, tmp_path, build_rule_set([parse_rule(rule) for rule in rules]), columns)
    assert [hit["rule"] for hit in facts["a"]["hits"]] == ["failed"]
    assert facts["b"]["hits"] == []
    assert (facts["a"]["start_us"], facts["a"]["duration_us"]) == (micros(T0), 1_500_125)
    assert (facts["a"]["change_us"], facts["a"]["arrived_us"]) == (micros(T0 + 9 * SECOND), 5)


def test_an_empty_table_and_one_that_only_waits_are_no_error(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "source", [])
    assert counted(spark, tmp_path, rule_set()) == {}
    write(tmp_path / "source", [trace(n, state="IN_PROGRESS") for n in range(3)])
    assert counted(spark, tmp_path, rule_set()) == {}
    store = open_store(str(tmp_path / "store"))
    assert store.table("in_progress").read()["trace_id"].n_unique() == 3

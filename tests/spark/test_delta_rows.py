"""What single rows may hold: the content hash item by item, absurd values, broken bytes, other types of
columns.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import convert_to_deltalake
from support.delta_cases import SHORT, T0, clock, ends, rule_set, trace, write

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import net_facts, open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.narrow import matched, narrow_plan
from streams.checkpoint import checkpoint_of, stream_id
from streams.query import start
from streams.sources.delta_traces.table import DeltaTracesTable

pytestmark = pytest.mark.spark
SECOND = timedelta(seconds=1)


def assessment(**changes: Any) -> dict[str, Any]:
    base = {
        "assessment_id": "a1",
        "assessment_name": "quality",
        "source_type": "HUMAN",
        "source_id": "me",
        "create_time": T0,
        "last_update_time": T0 + SECOND,
        "feedback_value": "1",
        "feedback_error": None,
        "expectation_value": None,
        "rationale": "so",
        "span_id": None,
    }
    return {**base, **changes}


def base() -> dict[str, Any]:
    row = trace(1, assessments=[assessment()])
    row["trace_metadata"] = [
        ("mlflow.trace.tokenUsage", '{"total_tokens": 7}'),
        ("mlflow.trace.cost", '{"total_cost": 1}'),
        ("mlflow.sourceRun", "run"),
        ("user", "me"),
    ]
    return row


def with_span(place: int, **changes: Any) -> dict[str, Any]:
    row = copy.deepcopy(base())
    row["spans"][place].update(changes)
    return row


def with_metadata(key: str, value: str) -> dict[str, Any]:
    row = base()
    row["trace_metadata"] = [(k, value if k == key else v) for k, v in row["trace_metadata"]]
    return row


def told(**changes: Any) -> dict[str, Any]:
    return {**base(), **changes}


TAGS: list[tuple[str, str]] = base()["tags"]
CHANGED = {
    "state": told(state="OK" if base()["state"] == "ERROR" else "ERROR"),
    "start": told(request_time=T0 + 99 * SECOND),
    "end": told(execution_duration_ms=138.0),
    "no duration": told(execution_duration_ms=None),
    "a tag's value": told(tags=[("mlflow.traceName", "agent"), ("environment", "test")]),
    "a tag more": told(tags=[*TAGS, ("x", "y")]),
    "tokens": with_metadata("mlflow.trace.tokenUsage", '{"total_tokens": 8}'),
    "cost": with_metadata("mlflow.trace.cost", '{"total_cost": 2}'),
    "source run": with_metadata("mlflow.sourceRun", "other"),
    "no assessment": told(assessments=[]),
    "an assessment more": told(assessments=[assessment(), assessment(assessment_id="a2")]),
    "an assessment's value": told(assessments=[assessment(feedback_value="0")]),
    "an assessment's time": told(assessments=[assessment(last_update_time=T0 + 2 * SECOND)]),
    "a rationale": told(assessments=[assessment(rationale="no")]),
    "span id": with_span(1, span_id="other"),
    "span type": with_span(1, attributes=[("mlflow.spanType", '"LLM"')]),
    "span name": with_span(1, name="other"),
    "span status": with_span(1, status_code="ERROR"),
    "span start": with_span(1, start_time=T0 + 4 * SECOND),
    "span end": with_span(1, end_time=T0 + 5 * SECOND),
    "a span less": told(spans=base()["spans"][:1]),
}
SAME = {
    "itself": base(),
    "request": told(request="other"),
    "response": told(response="other"),
    "client request id": told(client_request_id="other"),
    "other metadata": with_metadata("user", "you"),
    "another span attribute": with_span(1, attributes=[("mlflow.spanType", '"TOOL"'), ("x", "1")]),
    "status message": with_span(1, status_message="other"),
    "parent": with_span(1, parent_id=None),
    "our own tags": told(
        tags=[
            *TAGS,
            ("eval_candidate", "error_case"),
            ("tracesieve.rules", "r"),
            ("tracesieve.category", "c"),
        ]
    ),
    "order of spans": told(spans=base()["spans"][::-1]),
    "order of tags": told(tags=TAGS[::-1]),
}
ERRORS = [with_span(1, status_code=code) for code in ("ERROR", "STATUS_CODE_ERROR", "2")]
NOTHING = [
    {**trace(1), "tags": tags, "spans": spans, "assessments": assessments, "trace_metadata": metadata}
    for tags, spans, assessments, metadata in (
        [[], [], [], []],
        [None, None, None, None],
        [[], None, [], None],
    )
]


def narrow_of(
    spark: Any, rows: list[dict[str, Any]], table: Path, rules: RuleSet | None = None
) -> pl.DataFrame:
    """The narrow rows of a static DataFrame, in the order of ``rows``."""
    numbered = [{**row, "trace_id": f"tr-{n:04}"} for n, row in enumerate(rows)]
    write(table, numbered)
    frame = spark.read.format("delta").load(str(table))
    config = BatchConfig(str(table), "s", "", table=DeltaTracesTable(str(table)))
    rules = rules or rule_set()
    return pl.DataFrame(matched(narrow_plan(frame, rules, config))).sort("trace_id")


def test_sem_01_04_each_item_of_the_content_list_changes_the_hash_and_nothing_else_does(
    spark: Any, tmp_path: Path
) -> None:
    rows = [*CHANGED.values(), *SAME.values(), *ERRORS, *NOTHING]
    found = narrow_of(spark, rows, tmp_path / "t")
    hashes = found["content_hash"].to_list()
    changed = dict(zip(CHANGED, hashes, strict=False))
    same = dict(zip(SAME, hashes[len(CHANGED) :], strict=False))
    original = same["itself"]
    assert [name for name, value in changed.items() if value == original] == []
    assert len(set(changed.values())) == len(changed)
    assert [name for name, value in same.items() if value != original] == []
    errors, nothing = hashes[-len(NOTHING) - len(ERRORS) : -len(NOTHING)], hashes[-len(NOTHING) :]
    assert len(set(errors)) == 1
    assert len(set(nothing)) == 1
    change = dict(zip(CHANGED, found["change_us"].to_list(), strict=False))
    assert (
        change["an assessment's time"] == micros(T0 + 3 * SECOND) + 137_000
    )  # the trace ends later than that
    assert change["span end"] == micros(T0 + 5 * SECOND)


def micros(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


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


def counted(
    spark: Any, folder: Path, rules: RuleSet, columns: tuple[tuple[str, str], ...] = ()
) -> dict[str, dict[str, Any]]:
    """The facts that a run over ``folder/source`` leaves, by trace id."""
    store = open_store(str(folder / "store"))
    RuleSets(store).put(rules, (), 1)
    checkpoint = checkpoint_of(str(folder / "store"))
    config = BatchConfig(
        str(folder / "store"),
        stream_id(store, checkpoint),
        checkpoint,
        table=DeltaTracesTable(str(folder / "source"), columns),
    )
    start(spark, config, clock, once=True).wait()
    return {row["trace_id"]: row for row in net_facts(store.table("facts").read()).to_dicts()}


def test_sem_04_08_absurd_rows_are_counted_or_quarantined_and_none_stops_the_rest(
    spark: Any, tmp_path: Path
) -> None:
    odd = odd_rows()
    rows = [{**trace(n), "trace_id": name, **changes} for n, (name, changes) in enumerate(odd.items())]
    table = pa.Table.from_pylist(rows, schema=SHORT)
    names = [name.encode() if name != "bytes" else b"by\xfftes" for name in odd]
    table = table.set_column(table.schema.get_field_index("trace_id"), "trace_id", invalid(names))
    said = [b"support"] * (len(odd) - 1) + [b"\xc3(support"]
    table = table.set_column(
        table.schema.get_field_index("experiment_name"), "experiment_name", invalid(said)
    )  # type: ignore[arg-type]
    (tmp_path / "source").mkdir()
    pq.write_table(table, tmp_path / "source" / "odd.parquet")
    convert_to_deltalake(str(tmp_path / "source"))
    facts = counted(spark, tmp_path, odd_rules())
    assert sorted(set(odd) - set(facts)) == [
        "bytes",
        "waits",
        "what",
        "year-1",
    ]  # the year 1 is older than the horizon
    assert set(facts) - set(odd) == {"by\ufffdtes"}
    assert facts["by\ufffdtes"]["experiment"] == "\ufffd(support"
    durations = {
        name: facts[name]["duration_us"]
        for name in ("nan", "inf", "huge", "large", "negative", "none", "tokens")
    }
    assert durations == {
        "nan": None,
        "inf": None,
        "huge": None,
        "large": None,
        "negative": 0,
        "none": None,
        "tokens": 100_000,
    }
    assert facts["none"]["end_us"] == facts["none"]["start_us"]
    assert facts["year-9999"]["start_us"] == micros(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    assert [facts[name]["tokens_total"] for name in ("tokens", "cost", "deep")] == [None] * 3
    by_rule: dict[str, list[str]] = {}
    for name, fact in facts.items():
        for hit in fact["hits"]:
            by_rule.setdefault(hit["rule"], []).append(name)
    assert (by_rule["asks"], by_rule["many"]) == (["5-MB"], ["10000-spans"])
    assert "null-spans" not in by_rule["prod"]
    store = open_store(str(tmp_path / "store"))
    reasons = dict(store.table("quarantine").read().select("trace_id", "reason").iter_rows())
    assert reasons == {
        "tokens": "broken_token_json",
        "cost": "broken_cost_json",
        "deep": "broken_token_json",
        "what": "unknown_state",
    }
    assert ends(store) | {"deleted": 0} == {
        "rows": len(odd),
        "counted": len(odd) - 3,
        "duplicates": 0,
        "amended": 0,
        "late": 0,
        "quarantined": 4,
        "deleted": 0,
    }
    batch = store.table("batches").read(where=pl.col("phase") == "end")
    assert (batch["expired"].sum(), batch["in_progress"].sum()) == (1, 1)


def test_other_widths_zones_and_names_of_columns_and_structs_that_lack_fields(
    spark: Any, tmp_path: Path
) -> None:
    span = pa.struct(
        [
            ("span_id", pa.string()),
            ("name", pa.string()),
            ("start_time", pa.timestamp("us")),
            ("end_time", pa.timestamp("us")),
            ("status_code", pa.int32()),
        ]
    )
    schema = pa.schema(
        [
            ("my id", pa.string()),
            ("request_time", pa.timestamp("us")),
            ("state", pa.string()),
            ("execution_duration_ms", pa.decimal128(12, 3)),
            ("trace_metadata", pa.map_(pa.string(), pa.string())),
            ("tags", pa.map_(pa.string(), pa.string())),
            ("spans", pa.list_(span)),
            ("written", pa.int32()),
        ]
    )
    begin = datetime(2026, 11, 20, 12, 0)  # noqa: DTZ001 - a timestamp without a zone is what this is about
    one = {
        "span_id": "s",
        "name": "search",
        "start_time": begin,
        "end_time": begin + 9 * SECOND,
        "status_code": 2,
    }
    row = {
        "my id": "a",
        "request_time": begin,
        "state": "OK",
        "execution_duration_ms": Decimal("1500.125"),
        "trace_metadata": [],
        "tags": [],
        "spans": [one],
        "written": 5,
    }
    (tmp_path / "source").mkdir()
    rows = pa.Table.from_pylist([row, {**row, "my id": "b", "spans": []}], schema=schema)
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


def test_the_same_function_serves_a_static_frame_and_a_stream(spark: Any, tmp_path: Path) -> None:
    rows = [trace(n) for n in range(40)]
    found = narrow_of(spark, rows, tmp_path / "source")
    facts = pl.DataFrame(list(counted(spark, tmp_path, rule_set()).values())).sort("trace_id")
    for name in ("trace_id", "content_hash", "change_us", "hits", "group", "tokens_total"):
        assert facts[name].to_list() == found[name].to_list(), name


def test_an_empty_table_and_one_that_only_waits_are_no_error(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "source", [])
    assert counted(spark, tmp_path, rule_set()) == {}
    write(tmp_path / "source", [trace(n, state="IN_PROGRESS") for n in range(3)])
    assert counted(spark, tmp_path, rule_set()) == {}
    store = open_store(str(tmp_path / "store"))
    assert store.table("in_progress").read()["trace_id"].n_unique() == 3

"""Traces that a condition matches: as the stream's matching has it, of what stands alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from support import varied_rows
from support.counted_traces import count
from support.spark_conditions import CONDITION, Both

from rules.dialect import compile_condition
from rules.errors import ConditionError
from rules.matcher import Matcher, raw_table
from rules.rule_set import build_rule_set, parse_rule
from rules.units import MINUTE_US
from store import Store, open_store
from store.content import TraceTable
from store.schemas import TRACES
from tracesieve.analysis.decided import decided
from tracesieve.analysis.selection import select, standing

LAST = 4 * 10**15
START = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
CONDITIONS = (
    "status = 'ERROR'",
    "tags.env = 'prod' OR tags.note IS NULL",
    "execution_time_ms > 2",
    "experiment = 'support' AND (name = 'it''s' OR request LIKE '%a%')",
    "metadata.team <> 'prod' AND any(span, type = 'TOOL' AND status = 'ERROR')",
    "count(span, model = 'gpt-4o') >= 1",
    "span.exception.type = 'KeyError'",
    "count(span) = 0",
    "all(span, duration_ms < 100)",
    "tokens.total > 4 OR cost.total > 1",
    "client_request_id IN ('c1', 'c2') AND NOT request = ''",
    "hour(request_time) < 12",
    "tags.environment = 'prod'",
)


def row(trace_id: str, second: int = 0, **changes: Any) -> dict[str, Any]:
    base = {
        "trace_id": trace_id,
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": START + dt.timedelta(seconds=second),
        "state": "OK",
        "execution_duration_ms": 100.0,
        "request": "q",
        "tags": [("environment", "prod")],
        "trace_metadata": [("mlflow.trace.user", "eve"), ("mlflow.trace.session", "s1")],
        "spans": [],
    }
    return {**base, **changes}


def found(store: Store, text: str, table: TraceTable | None = None, **range_us: int) -> list[str]:
    low, high = range_us.get("from_us", 0), range_us.get("to_us", LAST)
    table = table or TraceTable(store.table("traces").uri)
    return select(store, table, compile_condition(text), low, high, LAST).facts["trace_id"].to_list()


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Random traces, counted with rules that have these conditions."""
    store = open_store(str(tmp_path_factory.mktemp("varied")))
    rules = [{"id": f"r{n}", "when": text, "tag": "t"} for n, text in enumerate(CONDITIONS)]
    rows = varied_rows.traces().drop_columns(["landed_us"]).to_pylist()
    names = ["support", "", None, "7"]
    keyed = [
        {
            **one,
            "experiment_id": "7",
            "experiment_name": names[n % 4],
            "tags": [*(one["tags"] or []), *([("environment", ["prod", ""][n % 2])] if n % 3 else [])],
        }
        for n, one in enumerate(rows)
    ]
    rule_set = build_rule_set([parse_rule(rule) for rule in rules])
    for number, first in enumerate(range(0, len(keyed), 40)):
        count(store, number, keyed[first : first + 40], rule_set)
    return store


@pytest.mark.parametrize("number", range(len(CONDITIONS)))
def test_a_condition_matches_what_a_rule_with_it_matched(varied: Store, number: int) -> None:
    facts = standing(varied, -LAST, LAST, LAST)
    hits = varied.table("facts").read(["trace_id", "hits"]).explode("hits").unnest("hits")
    wanted = sorted(hits.filter(pl.col("rule") == f"r{number}")["trace_id"])
    assert sorted(found(varied, CONDITIONS[number], from_us=-LAST)) == wanted
    assert facts.height > 100
    assert wanted, "a condition that matches nothing shows nothing"


@settings(max_examples=60)
@given(both=CONDITION)
def test_any_condition_matches_what_the_matcher_does_on_the_counted_rows(varied: Store, both: Both) -> None:
    try:
        condition = compile_condition(both.ours)
    except ConditionError:
        return
    rows = varied.table("traces").read(["trace_id"])  # each trace landed once, so rows are what was counted
    traces = varied.table("traces").delta().to_pyarrow_table()
    matched = Matcher([condition]).match(raw_table(traces, condition.columns))[0]
    ids = pl.Series(traces["trace_id"].to_pylist()).filter(pl.Series(matched))
    counted = standing(varied, -LAST, LAST, LAST)["trace_id"]
    assert rows["trace_id"].is_unique().all()
    assert sorted(found(varied, both.ours, from_us=-LAST)) == sorted(ids.filter(ids.is_in(counted.implode())))


_OF_FACTS = ("experiment", "experiment_id", "status", "tags.environment", "trace_id", "name")
_TERMS = st.builds(
    lambda field, form, word: form.format(f=field, w=word),
    st.sampled_from(_OF_FACTS),
    st.sampled_from(
        [
            "{f} = '{w}'",
            "{f} <> '{w}'",
            "{f} IN ('{w}', 'x')",
            "{f} IS NULL",
            "{f} IS NOT NULL",
            "{f} LIKE '{w}%'",
            "NOT {f} = '{w}'",
            "{f} > '{w}'",
            "coalesce({f}, 'none') = '{w}'",
            "length({f}) = 0",
            "{f} = '{w}' OR request LIKE '%a%'",
        ]
    ),
    st.sampled_from(["support", "7", "", "prod", "OK", "ERROR", "STATE_UNSPECIFIED", "t1", "none"]),
)
_FACT_CONDITION = st.recursive(
    _TERMS,
    lambda sub: st.builds(
        lambda form, a, b: form.format(a=a, b=b),
        st.sampled_from(["({a}) AND ({b})", "({a}) OR ({b})", "NOT ({a}) AND ({b})"]),
        sub,
        sub,
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(text=_FACT_CONDITION)
def test_what_facts_decide_is_what_the_rows_say(varied: Store, text: str) -> None:
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    traces = varied.table("traces").delta().to_pyarrow_table()
    matched = Matcher([condition]).match(raw_table(traces, condition.columns))[0]
    facts = standing(varied, -LAST, LAST, LAST)
    ids = pl.Series(traces["trace_id"].to_pylist()).filter(pl.Series(matched))
    content = set(ids) & set(facts["trace_id"])
    surely, perhaps = decided(facts, condition)
    assert set(surely["trace_id"]) <= content <= {*surely["trace_id"], *perhaps["trace_id"]}


@pytest.mark.parametrize(
    "text", ["status = 'OK'", "tags.environment = 'prod'", "experiment = 'support'", "trace_id LIKE 't1%'"]
)
def test_values_that_facts_have_are_decided_without_the_content(varied: Store, text: str) -> None:
    surely, perhaps = decided(standing(varied, -LAST, LAST, LAST), compile_condition(text))
    content = set(found(varied, text, from_us=-LAST))
    assert surely.height
    assert set(surely["trace_id"]) <= content <= {*surely["trace_id"], *perhaps["trace_id"]}


def test_an_amended_trace_is_matched_as_it_is_now(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    count(store, 1, [row("a"), row("b", 1)])
    count(store, 2, [row("a", tags=[("environment", "test")], state="ERROR")])
    assert found(store, "tags.environment = 'prod'") == ["b"]
    assert found(store, "tags.environment = 'test' AND request = 'q'") == ["a"]
    assert found(store, "status = 'ERROR'") == ["a"]


def test_what_has_landed_and_is_not_counted_yet_changes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    count(store, 1, [row("a")])
    later = [row("a", tags=[("environment", "test")], landed_us=99_999), row("new", landed_us=99_999)]
    store.table("traces").append(pa.Table.from_pylist(later, TRACES))
    assert found(store, "request = 'q' AND tags.environment = 'prod'") == ["a"]
    assert found(store, "user = 'eve'") == ["a"]


def test_left_out_traces_and_those_in_progress_are_not_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    count(store, 1, [row("a"), row("busy", 1, state="IN_PROGRESS"), row("b", 2)])
    facts = store.table("facts").read(where=pl.col("trace_id") == "b")
    gone = facts.with_columns(weight=pl.lit(-1, pl.Int8), batch_id=pl.lit(2, pl.Int64))
    store.table("facts").append(gone)
    assert found(store, "request = 'q'") == ["a"]
    assert found(store, "status <> 'ERROR'") == ["a"]


def test_the_range_is_that_of_the_end_and_the_order_too(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    count(store, 1, [row(f"t{n}", 60 * (9 - n)) for n in range(10)])
    start_us = int(START.timestamp()) * 1_000_000
    whole = found(store, "session = 's1'")
    assert whole == [f"t{n}" for n in reversed(range(10))]
    part = found(store, "session = 's1'", from_us=start_us + 3 * MINUTE_US, to_us=start_us + 6 * MINUTE_US)
    assert part == ["t6", "t5", "t4"]


def test_content_that_is_gone_is_counted_unless_the_fact_decides(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    count(store, 1, [row("a"), row("b", 1, tags=[("environment", "test")])])
    delta = DeltaTable(store.table("traces").uri)
    delta.delete()
    table = TraceTable(store.table("traces").uri)
    condition = compile_condition("request = 'q' AND tags.environment = 'prod'")
    selection = select(store, table, condition, 0, LAST, LAST)
    assert (selection.facts.height, selection.searched, selection.gone) == (0, 2, 1)
    selection = select(store, table, compile_condition("tags.environment = 'prod'"), 0, LAST, LAST)
    assert (selection.facts["trace_id"].to_list(), selection.gone) == (["a"], 0)


def test_a_delta_source_of_any_shape_is_searched(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    rows = [row("a"), row("b", 1, spans=[{"span_id": "s", "name": "search", "status_code": "ERROR"}])]
    count(store, 1, rows)
    names = [name if name not in ("trace_id", "tags") else f"my_{name}" for name in TRACES.names]
    theirs = pa.Table.from_pylist(rows, TRACES).rename_columns(names).drop_columns(["landed_us"])
    for kind, configuration in (
        ("plain", {}),
        ("vectors", {"delta.enableDeletionVectors": "true"}),
    ):
        source = str(tmp_path / kind)
        write_deltalake(source, theirs, configuration=configuration)
        table = TraceTable(source, {"trace_id": "my_trace_id", "tags": "my_tags"})
        assert found(store, "span.name = 'search' AND user = 'eve'", table) == ["b"]
        assert found(store, "tags.environment = 'prod' AND count(span) = 0", table) == ["a"]
        assert found(
            store, "NOT any(span, span.exception.type = 'KeyError') AND feedback.x IS NULL", table
        ) == ["a", "b"]

"""Tokens that a cache gave or took: from MLflow's JSON to facts, windows, reports and metrics, in stores of
before too.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support.made_facts import T0, batch, fact

from rules.alerting.sums import MEASURED, TOKENS, Window, sums_of
from rules.dialect import compile_condition
from rules.matcher import derive
from rules.matcher.measures import evaluate_measure
from rules.rule_set import parse_rule
from rules.units import MINUTE_US
from sinks.prometheus.state import MetricsState
from store import Store, open_store
from store.schemas import TABLES
from store.windows import merge
from tracesieve.analysis.report import report

USAGE = "trace_metadata[mlflow.trace.tokenUsage]"
CACHE = ("tokens_cache_read", "tokens_cache_write")


def test_sem_36_they_are_read_from_the_usage_of_the_trace_and_are_unknown_without_it() -> None:
    texts = [
        '{"input_tokens": 9, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2}',
        '{"input_tokens": 9, "output_tokens": 1}',
        '{"cache_read_input_tokens": -1}',
        None,
    ]
    table = pa.table({USAGE: texts, "trace_metadata[mlflow.trace.cost]": pa.nulls(4, pa.string())})
    found = derive(table)
    assert found["tokens_cache_read"].to_pylist() == [7, None, None, None]
    assert found["tokens_cache_write"].to_pylist() == [2, None, None, None]
    assert found["tokens_input"].to_pylist() == [9, 9, None, None]
    assert found["json_error"].to_pylist() == [None, None, "tokens_out_of_range", None]


def put(store: Store) -> None:
    tokens = {"tokens_input": 100, "tokens_output": 10, "tokens_total": 110}
    batch(
        store, 0, [fact("a", 1, **tokens, tokens_cache_read=80, tokens_cache_write=0), fact("b", 1, **tokens)]
    )


def test_sem_36_windows_and_reports_sum_what_is_known(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    put(store)
    row = merge(store.table("windows").read()).row(0, named=True)
    assert {name: row[name] for name in (*CACHE, "tokens_cache_read_known", "tokens_input")} == {
        "tokens_cache_read": 80,
        "tokens_cache_write": 0,
        "tokens_cache_read_known": 1,
        "tokens_input": 200,
    }
    found = report(store, T0, T0 + 9 * MINUTE_US, [], T0 + 9 * MINUTE_US)
    assert found["tokens"] == {"input": 200, "output": 20, "total": 220, "cache_read": 80, "cache_write": 0}


@pytest.mark.parametrize(
    ("fire", "fires"),
    [
        ("tokens.cache_read / tokens.input < 0.5", True),
        ("tokens.cache_read > 80", False),
        ("tokens.cache_write = 0 AND tokens.output = 20 AND tokens = 220", True),
    ],
)
def test_sem_36_a_window_rule_may_ask_for_each_kind(fire: str, fires: bool) -> None:
    parse_rule({"id": "w", "window": {"size": "5m"}, "fire": fire})
    sums = {"input": 200, "output": 20, "total": 220, "cache_read": 80, "cache_write": 0}
    assert set(sums) == set(TOKENS)
    known = {f"tokens_{kind}": value for kind, value in sums.items()}
    given = Window(2, 0, {}, **known, **{f"tokens_{kind}_known": 2 for kind in sums})
    measures = {name: float(values[0]) for name, values in sums_of([given]).measures().items()}
    condition = compile_condition(fire, kind="measure")
    assert evaluate_measure(condition, measures) is fires
    unknown = {name: float(values[0]) for name, values in sums_of([Window(2, 0, {})]).measures().items()}
    assert evaluate_measure(condition, unknown) is None


def test_sem_36_a_store_of_before_goes_on(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for name in ("facts", "windows"):
        schema = TABLES[name].schema
        kept = [one for one in schema.names if not one.startswith(CACHE)]
        made = pa.schema([schema.field(one) for one in kept]).empty_table()
        write_deltalake(f"{tmp_path}/{name}", made)
    old = fact("old", 1, tokens_input=5, stream_id="s", batch_id=9)
    write_deltalake(
        f"{tmp_path}/facts",
        pa.Table.from_pylist([old], schema=pa.schema(DeltaTable(f"{tmp_path}/facts").schema().to_arrow())),
        mode="append",
    )
    assert store.table("facts").read()[CACHE[0]].to_list() == [None]
    put(store)
    facts = store.table("facts").read().sort("trace_id")
    assert facts.select("trace_id", "tokens_cache_read").rows() == [("a", 80), ("b", None), ("old", None)]
    windows = merge(store.table("windows").read())
    assert windows.select(pl.col(MEASURED).null_count()).row(0) == (0,) * len(MEASURED)
    assert report(store, T0, T0 + 9 * MINUTE_US, [], T0 + 9 * MINUTE_US)["tokens"]["input"] == 205


def test_sem_36_metrics_have_a_series_where_a_provider_says_it() -> None:
    state = MetricsState(["experiment"])
    row = {"group": ["shop"], "state": "OK", "duration_us": None, "cost_nusd": None, "hits": []}
    known = {"tokens_input": 9, "tokens_output": 1}
    state.observe_fact({**row, **known, "trace_id": "a", "end_us": 1}, {})
    kinds = {key[-1]: value for key, value in state._values["tracesieve_tokens"].items()}
    assert kinds == {"input": 9, "output": 1}
    state.observe_fact({**row, **known, "trace_id": "b", "end_us": 1, "tokens_cache_read": 7}, {})
    kinds = {key[-1]: value for key, value in state._values["tracesieve_tokens"].items()}
    assert kinds == {"input": 18, "output": 2, "cache_read": 7}

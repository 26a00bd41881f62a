"""Traces counted as a batch counts them, without Spark: rows of a trace table become facts of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from rules.matcher import Matcher, raw_table
from rules.rule_set import RuleSet, build_rule_set
from store import Store
from store.rule_sets import RuleSets
from store.schemas import TRACES
from streams.batch.classify import classify
from streams.batch.match import narrow, plan
from streams.batch.output import Batch, append
from streams.batch.resolve import known_where, resolve

GROUP_BY = ("experiment", "environment")
NONE = build_rule_set([])


def count(
    store: Store,
    number: int,
    rows: Sequence[dict[str, Any]],
    rules: RuleSet = NONE,
    *,
    usage_from_spans: bool = False,
) -> pa.Table:
    """Count rows (``store.schemas.TRACES``) as batch ``number``; the store's ``traces`` gets them too."""
    landed = [{"landed_us": number * 10_000 + place, **row} for place, row in enumerate(rows)]
    table = pa.Table.from_pylist(landed, TRACES)
    RuleSets(store).put(rules, GROUP_BY, number)
    todo = plan(rules, GROUP_BY, usage_from_spans=usage_from_spans)
    raw = raw_table(table, todo.columns)
    for name, column in _plain(table).items():
        raw = raw.append_column(f"_{name}", column)
    arrived = pl.col("landed_us").alias("arrived_us")
    found = classify(
        pl.DataFrame(narrow(raw, todo, Matcher(todo.conditions))).with_columns(arrived),
        group_by=GROUP_BY,
        now_us=2 * 10**15,
        horizon_us=10**15,
        verdicts_through_us=0,
        include_evaluation=False,
    ).ready
    batch = Batch("s", number, 0, 0, rules.hash, "", GROUP_BY)
    known = store.table("facts").read(where=known_where(found["trace_id"], found["start_us"], batch.own))
    append(store, "facts", batch, resolve(found, known).facts, {})
    store.table("traces").append(table)
    return table


def _plain(table: pa.Table) -> dict[str, pa.Array]:
    size = table.num_rows
    nothing = dict.fromkeys(("source_run", "judge", "label", "file"), pa.nulls(size, pa.string()))
    start = table["request_time"].cast(pa.int64())
    contents = [hash(str(row)) >> 1 for row in table.drop_columns(["landed_us"]).to_pylist()]
    return {
        **nothing,
        **{name: table[name] for name in ("trace_id", "experiment_id", "state", "landed_us")},
        "experiment": table["experiment_name"],
        "start_us": start,
        "duration_ms": table["execution_duration_ms"],
        "content_hash": pa.array(contents, pa.int64()),
        "change_us": table["landed_us"],
    }

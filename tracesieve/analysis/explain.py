"""Explaining one trace: how it was counted or why it was not, what it is evidence of, what was written of it,
and how each rule sees it.

Rules are evaluated by the matcher that production uses, on the trace as its table, or the source itself,
holds it now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from rules.matcher import explain, explained_columns, raw_table
from rules.rule_set import RuleSet
from rules.units import utc
from store.schemas import TRACES
from store.store import Store
from streams.sources.base import Sighting
from tracesieve.analysis.whereabouts import Known, placed, whole_id
from tracesieve.analysis.written import written
from tracesieve.config.trace_table import trace_table
from tracesieve.datasets.pool import left_out_of
from tracesieve.datasets.sets import DatasetSets
from tracesieve.errors import AnswerIsNoError
from tracesieve.json_output import with_times

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_SIGHTED = ("trace_id", "state", "trace_metadata", "tags")
_COUNTED = (
    "state",
    "error",
    "start_us",
    "end_us",
    "duration_us",
    "tokens_total",
    "cost_nusd",
    "late",
    "group",
)


def explain_trace(
    settings: Settings, store: Store, rule_set: RuleSet, text: str, now_us: int
) -> dict[str, Any]:
    """The document of ``explain --json``, of the trace whose id is ``text`` or begins so.

    Raises:
        AnswerIsNoError: neither the store nor the source has it.
        TracesieveError: several ids begin so.
        StoreError, SourceError: the trace table, or the source, cannot be read.
    """
    table = trace_table(settings)
    found = whole_id(store, table, text, lambda one: settings.source.look_up(store, one))
    if found is None:
        raise AnswerIsNoError(f"there is no trace {text} in the store or its source")
    trace_id, sighting = found
    known = Known.of(store, trace_id)
    fact = known.fact
    row = table.row(trace_id, fact["start_us"] if fact else None)
    if row is None and sighting is not None:
        row = pa.Table.from_pylist([dict(sighting.row)], schema=TRACES)
    elif row is not None:
        sighting = _sighted(row)
    state, why = placed(settings, store, known, sighting, now_us)
    of_trace = pl.col("trace_id") == trace_id
    return {
        "trace_id": trace_id,
        "state": state,
        "why": why,
        "counted": _counted(fact) if fact else None,
        "evidence_of": store.table("evidence").read(["rule", "episode"], of_trace).to_dicts(),
        "rules": by_rule(rule_set, row) if row is not None else [],
        **written(store, trace_id),
        "left_out": left_out_of(store, DatasetSets.of(settings), trace_id),
    }


def _sighted(row: pa.Table) -> Sighting:
    """What of a row says where its trace stands; a start that is no date of the calendar is none."""
    there = row.select([name for name in _SIGHTED if name in row.column_names]).to_pylist()[0]
    start_us = row.column("request_time").cast(pa.timestamp("us"), safe=False).cast(pa.int64())[0].as_py()
    try:
        start = None if start_us is None else utc(start_us)
    except OverflowError:
        start = None
    return Sighting({**dict.fromkeys(_SIGHTED), **there, "request_time": start})


def _counted(fact: dict[str, Any]) -> dict[str, Any]:
    counted = {name: fact[name] for name in _COUNTED} | {"rules": [hit["rule"] for hit in fact["hits"]]}
    return with_times(counted, starts="start_us", ends="end_us")


def by_rule(rule_set: RuleSet, row: pa.Table) -> list[dict[str, Any]]:
    """What the condition of each rule that looks at single traces comes to, part by part."""
    found = []
    for rule in rule_set.ranked:
        if (condition := rule.per_trace) is None:
            continue
        explained = explain(condition, raw_table(row, explained_columns(condition)))
        found.append({"rule": rule.id, "kind": rule.kind, "tag": rule.category, **explained})
    return found

"""Explaining one trace: how it was counted, what it is evidence of, and how each rule sees it.

Rules are evaluated by the matcher that production uses, on the trace as its table holds it now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from rules.matcher import explain, raw_table
from rules.rule_set import RuleSet
from store.store import Store, net_facts
from tracesieve.errors import AnswerIsNoError
from tracesieve.json_output import with_times

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
    store: Store,
    rule_set: RuleSet,
    trace_id: str,
    row_of: Callable[[str, int | None], pa.Table | None],
) -> dict[str, Any]:
    """The document of ``explain --json``.

    ``row_of`` finds a trace by its id and, if known, its start (µs), as a table of one row; None: it is gone.

    Raises:
        AnswerIsNoError: neither the store nor the source has the trace.
        StoreError: the trace table cannot be read.
    """
    facts = net_facts(store.table("facts").read(where=pl.col("trace_id") == trace_id)).to_dicts()
    fact = facts[0] if facts else None
    row = row_of(trace_id, fact["start_us"] if fact else None)
    if row is None:
        raise AnswerIsNoError(f"there is no trace {trace_id} in the store or its source")
    of_trace = pl.col("trace_id") == trace_id
    return {
        "trace_id": trace_id,
        "counted": _counted(fact) if fact else None,
        "evidence_of": store.table("evidence").read(["rule", "episode"], of_trace).to_dicts(),
        "rules": _by_rule(rule_set, row),
    }


def _counted(fact: dict[str, Any]) -> dict[str, Any]:
    counted = {name: fact[name] for name in _COUNTED} | {"rules": [hit["rule"] for hit in fact["hits"]]}
    return with_times(counted, starts="start_us", ends="end_us")


def _by_rule(rule_set: RuleSet, row: pa.Table) -> list[dict[str, Any]]:
    """What the condition of each rule that looks at single traces comes to, part by part."""
    found = []
    for rule in rule_set.ranked:
        if (condition := rule.per_trace) is None:
            continue
        explained = explain(condition, raw_table(row, condition.columns))
        found.append({"rule": rule.id, "kind": rule.kind, "tag": rule.category, **explained})
    return found

"""Profiles: where the time, the tokens and the failures of a range of time went, by span type and name.

All of it is in the facts, by trace (``rules/breakdown``); here it is added up. Starts no Java.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rules.breakdown import Pair, Total, by_type
from store.content import TraceTable
from store.store import Store
from tracesieve.analysis.added_up import added_up
from tracesieve.analysis.asked_for import BREAKDOWN, Asked, asked_for
from tracesieve.analysis.bottleneck import bottleneck, short_name
from tracesieve.analysis.profile_groups import by_group
from tracesieve.analysis.where import kept_json
from tracesieve.json_output import iso


def profile(
    store: Store,
    from_us: int,
    to_us: int,
    now_us: int,
    *,
    group: Mapping[str, str] | None = None,
    rule: str | None = None,
    where: str | None = None,
    table: TraceTable | None = None,
    by: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of ``profile --json``: traces that ended in [from, to), those dated in the future held
    back; of a group, of those that a rule matches or that are evidence of it, and of those that the condition
    ``where`` matches, for which ``table`` is asked, the store's ``traces`` if not given; also
    ``groups`` of the keys ``by``.

    Raises:
        TracesieveError: there is no such rule, or the condition cannot be used.
        StoreError: the trace table cannot be read.
    """
    asked = Asked(group or {}, rule, where, table or TraceTable(store.table("traces").uri))
    return profiled(store, from_us, to_us, now_us, asked, by)


def profiled(
    store: Store, from_us: int, to_us: int, now_us: int, asked: Asked, by: Sequence[str] = ()
) -> dict[str, Any]:
    """The same of what is asked for."""
    grouped = ("group_by", "group", "duration_us") if by else ()
    found = asked_for(store, from_us, to_us, now_us, asked, (*BREAKDOWN, "usage_disagrees", *grouped))
    facts = found.facts
    known = facts.filter(pl.col("span_sums").is_not_null())
    return {
        "from": iso(from_us),
        "to": iso(to_us),
        "traces": facts.height,
        **({} if found.kept is None else {"where": kept_json(found.kept)}),
        "without_breakdown": facts.height - known.height,
        "usage_disagrees": int(facts["usage_disagrees"].sum() or 0),
        **numbers(added_up(known)),
        **({"groups": by_group(facts, by)} if by else {}),
    }


def numbers(of_pairs: dict[Pair, Total]) -> dict[str, Any]:
    """What a range and a single trace have in common: by type, by name, tools, the bottleneck; the most of
    the critical path first.
    """
    whole = sum(total.sums["critical_us"] for total in of_pairs.values())
    tools: dict[str, Total] = {}
    for (kind, name), total in of_pairs.items():
        if kind == "TOOL":
            tools.setdefault(short_name(name), Total()).add(total)
    return {
        "by_span_type": _rows(
            {(kind,): total for kind, total in by_type(of_pairs).items()}, ("span_type",), whole
        ),
        "by_span_name": _rows(
            {(name, kind): total for (kind, name), total in of_pairs.items()},
            ("span_name", "span_type"),
            whole,
        ),
        "tools": [
            {**row, "success_rate": 1 - row["errors"] / row["calls"]}
            for row in _rows({(name,): total for name, total in tools.items()}, ("tool",), whole)
        ],
        **bottleneck(of_pairs),
    }


def _rows(found: Mapping[tuple[str, ...], Total], keys: tuple[str, ...], whole: int) -> list[dict[str, Any]]:
    order = sorted(
        found, key=lambda one: (-found[one].sums["critical_us"], -found[one].sums["total_us"], one)
    )
    return [{**dict(zip(keys, one, strict=True)), **_row(found[one], whole)} for one in order]


def _row(total: Total, whole: int) -> dict[str, Any]:
    sums, timed = total.sums, total.timed
    p50, p95 = (total.quantile_us(q) for q in (0.5, 0.95))
    return {
        "calls": sums["calls"],
        "errors": sums["errors"],
        "total_ms": sums["total_us"] / 1000 if timed else None,
        "mean_ms": sums["total_us"] / timed / 1000 if timed else None,
        "p50_ms": None if p50 is None else p50 / 1000,
        "p95_ms": None if p95 is None else p95 / 1000,
        "self_ms": sums["self_us"] / 1000,
        "critical_ms": sums["critical_us"] / 1000,
        "critical_share": sums["critical_us"] / whole if whole else None,
        "parallel_ms": sums["parallel_us"] / 1000,
        "tokens": {kind: sums.get(f"tokens_{kind}") for kind in ("input", "output", "total")},
        "cost_usd": sums["cost_nusd"] / 1e9 if "cost_nusd" in sums else None,
    }

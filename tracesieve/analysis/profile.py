"""Profiles: where the time, the tokens and the failures of a range of time went, by span type and name.

All of it is in the facts, by trace (``rules/breakdown``); here it is added up. Starts no Java.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import polars as pl

from rules.breakdown import Pair, Total, by_type
from rules.kinds import kind_of
from rules.units import MINUTE_US
from store.rule_sets import RuleSets
from store.store import Store, net_facts
from tracesieve.analysis.added_up import added_up
from tracesieve.analysis.bottleneck import bottleneck, short_name
from tracesieve.errors import TracesieveError
from tracesieve.json_output import iso

_COLUMNS = ("batch_id", "weight", "trace_id", "content_hash", "arrived_us", "end_us")
_BREAKDOWN = ("span_keys", "span_sums", "usage_disagrees")


def profile(
    store: Store,
    from_us: int,
    to_us: int,
    now_us: int,
    *,
    group: Mapping[str, str] | None = None,
    rule: str | None = None,
) -> dict[str, Any]:
    """The document of ``profile --json``: traces that ended in [from, to), those dated in the future held
    back; of a group, and of those that a rule matches or that are evidence of it.
    """
    until = min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    columns = [*_COLUMNS, *(["group_by", "group"] if group else []), *(["hits"] if rule else []), *_BREAKDOWN]
    facts = net_facts(store.table("facts").read(columns, touched))
    facts = _of_rule(store, _of_group(facts, group or {}), rule)
    known = facts.filter(pl.col("span_sums").is_not_null())
    return {
        "from": iso(from_us),
        "to": iso(to_us),
        "traces": facts.height,
        "without_breakdown": facts.height - known.height,
        "usage_disagrees": int(facts["usage_disagrees"].sum() or 0),
        **numbers(added_up(known)),
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


def _of_group(facts: pl.DataFrame, group: Mapping[str, str]) -> pl.DataFrame:
    for key, value in group.items():
        place = pl.col("group_by").list.eval(pl.element() == key).list.arg_max()
        there = pl.col("group_by").list.contains(key)
        facts = facts.filter(there & (pl.col("group").list.get(place, null_on_oob=True) == value))
    return facts


def _of_rule(store: Store, facts: pl.DataFrame, rule: str | None) -> pl.DataFrame:
    """The traces that a rule matches, or that are evidence of its alerts: those that an alert rule counts are
    no matches.

    Raises:
        TracesieveError: there never was such a rule.
    """
    if rule is None:
        return facts
    rules = RuleSets(store)
    versions = [kind_of(item).rule for item in rules.ever() if item.get("id") == rule]
    if not versions:
        ids = sorted({str(item.get("id")) for item in rules.ever()})
        near = get_close_matches(rule, ids, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ids)}"
        raise TracesieveError(f"--rule {rule}: there is no such rule ({hint})")
    evidence = store.table("evidence").read(["trace_id"], pl.col("rule") == rule)["trace_id"]
    wanted = pl.col("trace_id").is_in(evidence.unique().implode())
    if any(one.tags_matches for one in versions):
        wanted |= pl.col("hits").list.eval(pl.element().struct.field("rule") == rule).list.any()
    return facts.filter(wanted)

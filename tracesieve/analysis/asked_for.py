"""Which traces of a range are profiled: all, those of a group, of a rule, those that a condition matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from rules.kinds import tags_matches
from rules.kinds.dataset import is_dataset_rule
from rules.units import MINUTE_US
from store.content import TraceTable
from store.rule_sets import RuleSets
from store.store import Store, net_facts
from tracesieve.analysis.selection import Selection
from tracesieve.analysis.where import where
from tracesieve.errors import TracesieveError

BREAKDOWN = ("span_keys", "span_sums")
_NETTED = ("batch_id", "weight", "trace_id", "content_hash", "arrived_us", "end_us")


@dataclass(frozen=True)
class Asked:
    """The options that leave out traces: values by key of the group, a rule's id, a condition as text and the
    table that it is evaluated on.
    """

    group: Mapping[str, str]
    rule: str | None
    where: str | None
    table: TraceTable


@dataclass(frozen=True)
class Found:
    """The standing facts that are left, and what ``where`` kept of them."""

    facts: pl.DataFrame
    kept: Selection | None


def asked_for(
    store: Store, from_us: int, to_us: int, now_us: int, asked: Asked, columns: Sequence[str]
) -> Found:
    """The facts of traces that ended in [from, to), those dated in the future held back, with ``columns`` and
    those that netting looks at.

    Raises:
        TracesieveError: there never was such a rule, or the condition cannot be used.
        StoreError: the trace table cannot be read.
    """
    until = min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    wanted = [*_NETTED, *(("group_by", "group") if asked.group else ()), *(("hits",) if asked.rule else ())]
    facts = net_facts(store.table("facts").read(list(dict.fromkeys([*wanted, *columns])), touched))
    facts = _of_rule(store, _of_group(facts, asked.group), asked.rule)
    if asked.where is None:
        return Found(facts, None)
    kept = where(store, asked.table, asked.where, from_us, to_us, now_us)
    return Found(kept.of(facts), kept)


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
    ever = [item for item in rules.ever() if not is_dataset_rule(str(item.get("id")))]
    versions = [item for item in ever if item.get("id") == rule]
    if not versions:
        ids = sorted({str(item.get("id")) for item in ever})
        near = get_close_matches(rule, ids, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ids)}"
        raise TracesieveError(f"--rule {rule}: there is no such rule ({hint})")
    evidence = store.table("evidence").read(["trace_id"], pl.col("rule") == rule)["trace_id"]
    wanted = pl.col("trace_id").is_in(evidence.unique().implode())
    if any(map(tags_matches, versions)):
        wanted |= pl.col("hits").list.eval(pl.element().struct.field("rule") == rule).list.any()
    return facts.filter(wanted)

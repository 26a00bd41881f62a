"""Which traces match which rules, and so are candidates of which category, by rule or by a person's label."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rules.kinds import tags_matches
from rules.rule_set import RuleSet
from rules.tags import matches_of
from rules.units import HOUR_US
from store import Store
from store.rule_sets import RuleSets

_TRACES = pl.DataFrame(schema={"trace_id": pl.String, "category": pl.String})


@dataclass(frozen=True)
class Matches:
    """What some traces match.

    Attributes:
        rules: number of traces by rule id; of an alert rule those that are its evidence.
        candidates: number of traces by the category that their ``eval_candidate`` should hold; a trace that a
            person labelled counts as what the person called it.
        categories: ``trace_id``, ``category``, each pair once: every category that a rule or a person gives.
        labels: the pairs that a person gives.
    """

    rules: dict[str, int]
    candidates: dict[str, int]
    categories: pl.DataFrame
    labels: pl.DataFrame


def matches_in(store: Store, facts: pl.DataFrame, from_us: int) -> Matches:
    """The matches of standing facts (``trace_id``, ``start_us``, ``hits``), and their evidence of alerts from
    ``from_us`` on, by the rules in force.
    """
    rule_sets = RuleSets(store)
    present = rule_sets.in_force()
    rule_set = present.rules if present is not None else None
    # Hits of rules that only count traces are no matches, whichever version of the rules wrote them.
    counting = {str(item.get("id")) for item in rule_sets.ever() if not tags_matches(item)}
    counting -= {rule.id for rule in rule_set.trace_rules} if rule_set else set()
    hits = facts.filter(pl.col("hits").list.len() > 0).select("trace_id", "hits").explode("hits")
    hits = hits.select("trace_id", rule=pl.col("hits").struct.field("rule")).unique()
    hits = hits.filter(~pl.col("rule").is_in(list(counting)))
    evidence = store.table("evidence").read(["trace_id", "rule"], pl.col("instant_us") >= from_us).unique()
    evidence = _among(evidence, facts)
    decided = _decided(rule_set, hits, evidence) if rule_set is not None else _TRACES.with_columns(first=True)
    labels = _labels(store, facts)
    called = pl.concat(
        [labels, decided.filter("first").drop("first").join(labels, on="trace_id", how="anti")]
    )
    return Matches(
        rules=_numbers(pl.concat([hits, evidence]).unique(), "rule"),
        candidates=_numbers(called, "category"),
        categories=pl.concat([labels, decided.drop("first")]).unique(),
        labels=labels,
    )


def _decided(rule_set: RuleSet, hits: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """The categories of each trace, and whether it is the first match that gives it; there are few
    combinations of rules, however many traces.
    """
    joined = [
        frame.group_by("trace_id").agg(pl.col("rule").sort().str.join(",").alias(name))
        for name, frame in (("hits", hits), ("evidence", evidence))
    ]
    traces = joined[0].join(joined[1], on="trace_id", how="full", coalesce=True).fill_null("")
    rows = []
    for of_hits, of_evidence in traces.select("hits", "evidence").unique().iter_rows():
        categories = list(
            dict.fromkeys(
                match.category for match in matches_of(rule_set, of_hits.split(","), of_evidence.split(","))
            )
        )
        rows += [(of_hits, of_evidence, category, n == 0) for n, category in enumerate(categories)]
    schema = {"hits": pl.String, "evidence": pl.String, "category": pl.String, "first": pl.Boolean}
    by_combination = pl.DataFrame(rows, schema, orient="row")
    return traces.join(by_combination, on=["hits", "evidence"]).select("trace_id", "category", "first")


def _labels(store: Store, facts: pl.DataFrame) -> pl.DataFrame:
    """What people last called these traces (SEMANTICS 22)."""
    if facts.is_empty():
        return _TRACES
    start_us = pl.col("start_us")
    low, high = facts.select(low=start_us.min() - HOUR_US, high=start_us.max() + HOUR_US).row(0)
    rows = store.table("person_labels").read(
        ["trace_id", "label", "arrived_us", "now_us"], start_us.is_between(low, high)
    )
    order = [pl.col(name).fill_null(0) for name in ("arrived_us", "now_us")]
    last = rows.sort(order, maintain_order=True).unique("trace_id", keep="last", maintain_order=True)
    labelled = last.filter(pl.col("label").is_not_null()).select("trace_id", category="label")
    return _among(labelled, facts)


def _among(rows: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Rows of those traces; facts may be many, so that they are not looked at for nothing."""
    return rows if rows.is_empty() else rows.join(facts.select("trace_id"), on="trace_id", how="semi")


def _numbers(pairs: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(pairs.group_by(column).len().sort(column).iter_rows())

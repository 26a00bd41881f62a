"""How each rule did: what it matched, what of it entered datasets, how much of that proved to be a failure.

A record is **reviewed** once something says whether it was a failure: a person, by the expectation or tag
``is_failure`` on the record in MLflow; else the scorers of ``datasets evaluate`` on the stored answer (those
with ``decides_failure``), where one that fails proves a failure, and all that pass prove that it was none.
Starts no Java and asks no server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from rules.rule_set import Rule, RuleSet
from rules.units import DAY_US
from sinks.mlflow.records import GONE, LEAVING
from store import Store
from store.dataset_versions import DatasetVersions
from store.rule_sets import RuleSets
from store.store import NETTED, net_facts
from tracesieve.datasets import versions
from tracesieve.errors import TracesieveError
from tracesieve.evaluation.case import case_of
from tracesieve.evaluation.history import History
from tracesieve.evaluation.score import ERROR, FAIL, PASS
from tracesieve.evaluation.verdicts import Overlap, Proportion, Standing, decide, proportion
from tracesieve.json_output import iso

_PAIRS = pl.DataFrame(schema={"trace_id": pl.String, "rule": pl.String, "hash": pl.String})


def scorecard(store: Store, from_us: int, to_us: int) -> dict[str, Any]:
    """The document of ``rules scorecard --json``, of the rules in force and traces that ended in [from, to).

    Raises:
        TracesieveError: no rules were ever in force.
    """
    present = RuleSets(store).in_force()
    if present is None:
        raise TracesieveError("no rules have been in force yet: `tracesieve run` brings them into force")
    within = (pl.col("end_us") >= from_us) & (pl.col("end_us") < to_us)
    facts = net_facts(store.table("facts").read([*NETTED, "end_us"], within))
    standings = _standings(store, present.rules, facts, from_us, to_us)
    first_us = facts["end_us"].min()
    covered_us = to_us - (max(from_us, first_us) if isinstance(first_us, int) else from_us)
    days = max(covered_us / DAY_US, 1.0)
    by_rule = {one.rule: one for one in standings}
    rows = [_row(one, decide(one, by_rule, facts.height), days) for one in standings]
    return {"from": iso(from_us), "to": iso(to_us), "traces": facts.height, "rules": rows}


def _standings(store: Store, rules: RuleSet, facts: pl.DataFrame, from_us: int, to_us: int) -> list[Standing]:
    pairs = pl.concat([_hits(facts, rules), _evidence(store, facts, from_us)]).unique()
    now = pl.DataFrame(
        [(rule.id, rule.hash) for rule in rules.rules],
        {"rule": pl.String, "hash": pl.String},
        orient="row",
    )
    matched = pairs.join(now, on=["rule", "hash"], how="semi").select("trace_id", "rule").unique()
    older = pairs.join(now, on=["rule", "hash"], how="anti").select("trace_id", "rule").unique()
    older = older.join(matched, on=["trace_id", "rule"], how="anti")
    counts, former = _counts(matched), _counts(older)
    overlaps, in_sets = _overlaps(matched, counts), _in_sets(store)
    loaded_us, reviewed = _loaded_us(store, rules.rules), _reviewed(store)
    return [
        Standing(
            rule.id,
            rule.category,
            rule.alert is not None,
            counts.get(rule.id, 0),
            former.get(rule.id, 0),
            in_sets.get(rule.id, 0),
            (to_us - max(from_us, loaded_us.get(rule.hash, to_us))) / DAY_US,
            reviewed.get(f"{rule.id}@{rule.hash}", Proportion(0, 0)),
            overlaps.get(rule.id, ()),
        )
        for rule in rules.rules
        if rule.tags_matches or rule.alert is not None
    ]


def _hits(facts: pl.DataFrame, rules: RuleSet) -> pl.DataFrame:
    """The matches of trace rules; that an alert rule counts a trace is no match."""
    tagging = [rule.id for rule in rules.trace_rules]
    hits = facts.filter(pl.col("hits").list.len() > 0).select("trace_id", "hits").explode("hits")
    if hits.is_empty():
        return _PAIRS
    rule, version = (pl.col("hits").struct.field(name) for name in ("rule", "hash"))
    return hits.select("trace_id", rule=rule, hash=version).filter(pl.col("rule").is_in(tagging))


def _evidence(store: Store, facts: pl.DataFrame, from_us: int) -> pl.DataFrame:
    rows = store.table("evidence").read(["trace_id", "rule", "rule_hash"], pl.col("instant_us") >= from_us)
    named = rows.rename({"rule_hash": "hash"}).unique()
    return named.join(facts.select("trace_id"), on="trace_id", how="semi").select("trace_id", "rule", "hash")


def _counts(pairs: pl.DataFrame) -> dict[str, int]:
    return dict(pairs.group_by("rule").len().iter_rows())


def _overlaps(matched: pl.DataFrame, counts: Mapping[str, int]) -> dict[str, list[Overlap]]:
    """By rule the others that match traces of its, by how many."""
    several = matched.filter(pl.len().over("trace_id") > 1)
    both = several.join(several, on="trace_id", suffix="_other")
    both = both.filter(pl.col("rule") != pl.col("rule_other"))
    shared = both.group_by("rule", "rule_other").len()
    found: dict[str, list[Overlap]] = defaultdict(list)
    for rule, other, number in shared.sort(["len", "rule_other"], descending=[True, False]).iter_rows():
        found[rule].append(Overlap(other, number, number / counts[rule]))
    return found


def _in_sets(store: Store) -> dict[str, int]:
    """The records in datasets by rule, each once."""
    rows = store.table("records").read(["dataset_id", "record", "trace_id", "rules", "weight"])
    rows = rows.filter(~pl.col("trace_id").is_in([GONE, LEAVING])).explode("rules")
    if rows.is_empty():
        return {}
    key = ["dataset_id", "record", "trace_id", "rule"]
    net = (
        rows.with_columns(rule=pl.col("rules").struct.field("rule"))
        .group_by(key)
        .agg(pl.col("weight").cast(pl.Int64).sum())
        .filter((pl.col("weight") > 0) & pl.col("rule").is_not_null())
    )
    return _counts(net.select("dataset_id", "record", "rule").unique())


def _loaded_us(store: Store, rules: Iterable[Rule]) -> dict[str, int]:
    """When each rule, by hash, was first in force."""
    times = store.table("rule_sets").read(["rule_set_hash", "loaded_us"])
    first = dict(times.group_by("rule_set_hash").agg(pl.col("loaded_us").min()).iter_rows())
    holding = RuleSets(store).holding(rules)
    return {
        rule_hash: min(first[one] for one in sets if one in first)
        for rule_hash, sets in holding.items()
        if any(one in first for one in sets)
    }


def _reviewed(store: Store) -> dict[str, Proportion]:
    """Of the reviewed records of each rule (``id@hash``) those that were failures; each record once, in
    however many datasets it is.
    """
    was_failure: dict[tuple[str, str], bool] = {}
    by_person: dict[tuple[str, str], bool] = {}
    for rules, record, outcomes, marked in _words(store):
        scored = _of_scorers(outcomes)
        for rule in rules:
            if scored is not None:
                was_failure[rule, record] = was_failure.get((rule, record), False) or scored
            if marked is not None:
                by_person[rule, record] = marked
    for version in DatasetVersions(store).latest().values():
        for case in map(case_of, versions.records_of(store, version)):
            for pair in ((rule, case.key) for rule in case.rules):
                if case.marked_failure is not None:
                    by_person[pair] = case.marked_failure
                else:
                    by_person.pop(pair, None)  # the mark of an earlier version was taken away
    totals: dict[str, list[bool]] = defaultdict(list)
    for (rule, _), failed in (was_failure | by_person).items():
        totals[rule].append(failed)
    return {rule: proportion(sum(found), len(found)) for rule, found in totals.items()}


def _words(store: Store) -> Iterable[tuple[list[str], str, list[str], bool | None]]:
    """What was last found of each record: its rules, its key, the outcomes that decide, a person's word."""
    rows = History(store).latest_words()
    decides = pl.col("outcome").filter(pl.col("decides_failure"))
    found = rows.group_by("dataset", "experiment_id", "record").agg(
        pl.col("rules").first(), decides.alias("outcomes"), pl.col("marked_failure").first()
    )
    for row in found.sort("dataset", "experiment_id", "record").iter_rows(named=True):
        yield list(row["rules"] or ()), row["record"], list(row["outcomes"]), row["marked_failure"]


def _of_scorers(outcomes: list[str]) -> bool | None:
    """Whether scorers prove that a stored answer was a failure; None: they leave it open."""
    if FAIL in outcomes:
        return True
    return None if ERROR in outcomes or PASS not in outcomes else False


def _row(one: Standing, verdict: tuple[str, str], days: float) -> dict[str, Any]:
    found = one.failures
    overlap = one.overlaps[0] if one.overlaps else None
    return {
        "rule": one.rule,
        "category": one.category,
        "alerts": one.alerts,
        "matches": one.matches,
        "older_matches": one.older_matches,
        "matches_per_day": one.matches / days,
        "in_sets": one.in_sets,
        "reviewed": found.whole,
        "proved": found.part,
        "precision": found.share,
        "precision_low": found.low if found.whole else None,
        "precision_high": found.high if found.whole else None,
        "overlap": None if overlap is None else {"rule": overlap.rule, "share": overlap.share},
        "verdict": verdict[0],
        "reason": verdict[1],
    }

"""What a trace's matches come to: its tags, and the datasets that it belongs to (SEMANTICS 22, 23)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rules.rule_set import RuleSet


def category_of(rule_set: RuleSet, hits: Collection[str], evidence: Collection[str]) -> str | None:
    """The value of ``eval_candidate``: of the most severe trace rule, else of the first window rule it is
    evidence of.
    """
    category = rule_set.category_of(list(hits))
    picked = (
        rule.evidence_tag for rule in rule_set.window_rules if rule.id in evidence and rule.evidence_tag
    )
    return category or next(picked, None)


def tags_of(
    rule_set: RuleSet, trace_id: str, fact: Mapping[str, Any] | None, evidence: Collection[str]
) -> dict[str, Any]:
    """What the tags of a trace should say: no category and no rules for one that is not, or no longer,
    matched.
    """
    if fact is None:
        return {"trace_id": trace_id, "category": None, "rules": []}
    known = {rule.id for rule in rule_set.trace_rules}
    hits = [hit["rule"] for hit in fact["hits"] if hit["rule"] in known]
    picked = [rule.id for rule in rule_set.window_rules if rule.id in evidence and rule.evidence_tag]
    return {
        "trace_id": trace_id,
        "category": category_of(rule_set, hits, evidence),
        "rules": sorted({*hits, *picked}),
    }


def membership_of(
    rule_set: RuleSet,
    trace_id: str,
    fact: Mapping[str, Any] | None,
    evidence: Collection[str],
    candidate: str | None = None,
) -> dict[str, Any]:
    """The dataset categories a trace belongs to, each with the rules and versions that say so, or the person;
    none withdraws it.

    ``candidate`` is a person's own ``eval_candidate``.
    """
    if fact is None:
        return {"trace_id": trace_id, "categories": {}}
    hits = {hit["rule"]: hit["hash"] for hit in fact["hits"]}
    found = [(rule.tag, rule.id, hits[rule.id]) for rule in rule_set.trace_rules if rule.id in hits]
    found += [
        (rule.evidence_tag, rule.id, rule.hash)
        for rule in rule_set.window_rules
        if rule.id in evidence and rule.evidence_tag
    ]
    points = {rule.id: rule.points_to or rule.id for rule in rule_set.trace_rules}
    points |= {rule.id: rule.points_to or rule.id for rule in rule_set.window_rules}
    categories: dict[str, dict[str, Any]] = {}
    for tag, rule, version in found:
        entry = categories.setdefault(tag, {"rules": [], "reason": points[rule]})
        entry["rules"].append({"rule": rule, "hash": version})
    if candidate is not None:
        entry = categories.setdefault(candidate, {"rules": [], "reason": "a person set eval_candidate"})
        entry["person"] = True
    return {
        "trace_id": trace_id,
        "start_us": fact["start_us"],
        "end_us": fact["end_us"],
        "experiment_id": fact["experiment_id"],
        "categories": categories,
    }

"""What a trace's matches come to: its tags, and the datasets that it belongs to (SEMANTICS 22, 23)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rules.rule_set import RuleSet


def category_of(rule_set: RuleSet, hits: Collection[str], evidence: Collection[str]) -> str | None:
    """The value of ``eval_candidate``: that of the most severe trace rule, else of the first alert rule whose
    evidence it is.
    """
    of_alerts = (category for _, _, category in _evidence_rules(rule_set, evidence))
    return rule_set.category_of(list(hits)) or next(of_alerts, None)


def tags_of(
    rule_set: RuleSet, trace_id: str, fact: Mapping[str, Any] | None, evidence: Collection[str]
) -> dict[str, Any]:
    """The tags that a trace should have: no category and no rules for one that is not, or no longer, matched.

    ``evidence`` are the ids of the rules whose evidence it is.
    """
    if fact is None:
        return {"trace_id": trace_id, "category": None, "rules": []}
    known = {rule.id for rule in rule_set.trace_rules}
    hits = [hit["rule"] for hit in fact["hits"] if hit["rule"] in known]
    picked = [rule_id for rule_id, _, _ in _evidence_rules(rule_set, evidence)]
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
    """The dataset categories of a trace, each with the rules and their versions, or the person, who gave it.

    No category at all takes the trace out of its datasets. ``candidate`` is a person's own
    ``eval_candidate``.
    """
    if fact is None:
        return {"trace_id": trace_id, "categories": {}}
    hits = {hit["rule"]: hit["hash"] for hit in fact["hits"]}
    found = [
        (rule.id, hits[rule.id], rule.category)
        for rule in rule_set.trace_rules
        if rule.id in hits and rule.category is not None
    ]
    found += _evidence_rules(rule_set, evidence)
    points_to = {rule.id: rule.points_to or rule.id for rule in rule_set.rules}
    categories: dict[str, dict[str, Any]] = {}
    for rule_id, version, category in found:
        entry = categories.setdefault(category, {"rules": [], "reason": points_to[rule_id]})
        entry["rules"].append({"rule": rule_id, "hash": version})
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


def _evidence_rules(rule_set: RuleSet, ids: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Those alert rules, by id, whose evidence is tagged: id, hash and category."""
    for rule in rule_set.alert_rules:
        if rule.id in ids and rule.evidence is not None:
            yield rule.id, rule.hash, rule.evidence.category

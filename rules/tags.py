"""What a trace's matches come to: its tags, and the datasets that it belongs to (SEMANTICS 22, 23)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rules.rule import Rule
from rules.rule_set import RuleSet

_SEARCH = "search:"
_LONGEST = 300  # characters of a condition in a reason
PERSONS_REASON = "a person set eval_candidate"


class Match(NamedTuple):
    """A rule that gives a trace a category."""

    rule: str
    category: str


def matches_of(rule_set: RuleSet, hits: Collection[str], evidence: Collection[str]) -> list[Match]:
    """The rules that give a trace a category, the one that decides first: trace rules by rank, then the alert
    rules whose evidence it is, by rank (``RuleSet.ranked``).

    ``hits`` and ``evidence`` are ids of rules; those of no rule of the set, and of rules that only count, are
    left out.
    """
    of_traces = (
        Match(rule.id, rule.category)
        for rule in rule_set.ranked
        if rule.tags_matches and rule.id in hits and rule.category is not None
    )
    return [*of_traces, *_evidence_matches(rule_set, evidence)]


def by_category(matches: Collection[Match]) -> dict[str, list[str]]:
    """The ids of the rules of each category, sorted."""
    found: dict[str, set[str]] = {}
    for match in matches:
        found.setdefault(match.category, set()).add(match.rule)
    return {category: sorted(rules) for category, rules in found.items()}


def category_of(rule_set: RuleSet, hits: Collection[str], evidence: Collection[str]) -> str | None:
    """The value of ``eval_candidate``: the category of the match that decides."""
    matches = matches_of(rule_set, hits, evidence)
    return matches[0].category if matches else None


def tags_of(
    rule_set: RuleSet, trace_id: str, fact: Mapping[str, Any] | None, evidence: Collection[str]
) -> dict[str, Any]:
    """The tags that a trace should have: no category and no rules for one that is not, or no longer, matched.

    ``evidence`` are the ids of the rules whose evidence it is. ``categories`` has the rules of each category;
    a message of a program before it, and one that takes everything back, is without it.
    """
    matches = matches_of(rule_set, _hits(fact), evidence) if fact is not None else []
    payload: dict[str, Any] = {
        "trace_id": trace_id,
        "category": matches[0].category if matches else None,
        "rules": sorted({match.rule for match in matches}),
    }
    return {**payload, "categories": by_category(matches)} if matches else payload


def membership_of(
    rule_set: RuleSet,
    trace_id: str,
    fact: Mapping[str, Any] | None,
    evidence: Collection[str],
    candidate: str | None = None,
    picks: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The dataset categories of a trace, each with the rules and their versions, or the person, who gave it.

    No category at all takes the trace out of its datasets. ``candidate`` is a person's own
    ``eval_candidate``; ``picks`` are the categories that searches put it into, with their conditions. The
    reason of a category is that of the match that decides, else that of the first search. A condition of a
    dataset that it matches is a category of its own, named as the rule.
    """
    if fact is None:
        return {"trace_id": trace_id, "categories": {}}
    matches = matches_of(rule_set, _hits(fact), evidence)
    of_hits = {hit["rule"]: hit["hash"] for hit in fact["hits"]}
    rules = {rule.id: rule for rule in rule_set.rules}
    reasons = {one.category: rules[one.rule].points_to or one.rule for one in reversed(matches)}
    # In the order of the set, whatever their rank: so a message says the same as before rules had one.
    place = {rule.id: (not rule.tags_matches, number) for number, rule in enumerate(rule_set.rules)}
    categories: dict[str, dict[str, Any]] = {}
    for match in sorted(matches, key=lambda one: place[one.rule]):
        rule = rules[match.rule]
        entry = categories.setdefault(match.category, {"rules": [], "reason": reasons[match.category]})
        entry["rules"].append({"rule": rule.id, "hash": of_hits[rule.id] if rule.tags_matches else rule.hash})
    if candidate is not None:
        entry = categories.setdefault(candidate, {"rules": [], "reason": PERSONS_REASON})
        entry["person"] = True
    for rule in rule_set.rules:
        if rule.dataset is not None and rule.id in of_hits:
            entry = categories.setdefault(rule.id, {"rules": [], "reason": _reason_of_condition(rule)})
            entry["rules"].append({"rule": rule.id, "hash": of_hits[rule.id]})
    for category, conditions in sorted((picks or {}).items()):
        entry = categories.setdefault(category, {"rules": [], "reason": reason_of_search(conditions[0])})
        entry["rules"] += [search_rule(one) for one in conditions]
        entry["picked"] = reason_of_search(conditions[0])
    return {
        "trace_id": trace_id,
        "start_us": fact["start_us"],
        "end_us": fact["end_us"],
        "experiment_id": fact["experiment_id"],
        "categories": categories,
    }


def search_rule(condition: str) -> dict[str, str]:
    """What stands in the place of a rule where a search put a trace into a dataset: no rule is called so."""
    digest = hashlib.sha256(condition.encode()).hexdigest()[:16]
    return {"rule": f"{_SEARCH}{digest[:8]}", "hash": digest}


def is_search(rule: str) -> bool:
    """Whether what stands in the place of a rule is a search."""
    return rule.startswith(_SEARCH)


def reason_of_search(condition: str) -> str:
    """Why a search put a trace into a dataset."""
    return f"search: {_cut(condition)}"


def _reason_of_condition(rule: Rule) -> str:
    return f"condition: {_cut(rule.condition_text)}"


def _cut(condition: str) -> str:
    text = " ".join(condition.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _hits(fact: Mapping[str, Any]) -> set[str]:
    return {hit["rule"] for hit in fact["hits"]}


def _evidence_matches(rule_set: RuleSet, ids: Collection[str]) -> Iterator[Match]:
    """Those alert rules, by rank, whose evidence is tagged."""
    for rule in rule_set.ranked:
        if rule.id in ids and rule.alert is not None and rule.alert.evidence is not None:
            yield Match(rule.id, rule.alert.evidence.category)

"""What of the datasets in a config cannot be, given the rules in force and the grouping keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from rules.rule_set import RuleSet
from sinks.mlflow.config import DatasetsConfig, DatasetSet

STRATA = ("outcome", "duration", "query", "group")
Mistake = tuple[tuple[str, ...], str, str]  # the key below `datasets`, what is wrong, what to write


def mistakes(config: DatasetsConfig, rule_set: RuleSet, group_by: Sequence[str]) -> list[Mistake]:
    """All mistakes, in the order of the config: names that no rule, category or stratum has."""
    categories = {rule.category for rule in rule_set.rules if rule.category is not None}
    categories |= {
        rule.alert.evidence.category
        for rule in rule_set.rules
        if rule.alert is not None and rule.alert.evidence is not None
    }
    strata = (*STRATA, *group_by)
    found = list(_unknown(("keep",), config.keep, strata, "stratum", "the strata are"))
    for name, of_set in config.sets.items():
        place = ("sets", name)
        found += _of_set(place, name, of_set, categories, {rule.id for rule in rule_set.rules})
        found += _unknown((*place, "keep"), of_set.keep or [], strata, "stratum", "the strata are")
    return found


def _of_set(
    place: tuple[str, ...], name: str, of_set: DatasetSet, categories: Collection[str], rules: Collection[str]
) -> Iterator[Mistake]:
    is_fed = bool(of_set.rules) or of_set.where is not None
    if of_set.categories is None and not is_fed and name not in categories:
        hint = _hint(name, categories, "the categories are")
        yield place, f"no rule has the category {name}, and nothing else feeds the set", hint
    if of_set.categories == [] and not is_fed and not of_set.people:
        yield (
            place,
            "nothing feeds the set",
            "name categories or rules, give a condition (where), or write people: true",
        )
    if of_set.approval and name in categories:
        hint = "a person approves a trace by setting its eval_candidate to the name of the set"
        yield place, f"with approval a set cannot be named as the category {name}", hint
    if of_set.approval and not of_set.people:
        yield (
            (*place, "people"),
            "approval comes from people: false leaves the set empty",
            "write people: true",
        )
    yield from _unknown(
        (*place, "categories"), of_set.categories or [], categories, "category", "the categories are"
    )
    yield from _unknown((*place, "rules"), of_set.rules, rules, "rule", "the rules are")


def _unknown(
    place: tuple[str, ...], names: Sequence[str], known: Collection[str], kind: str, words: str
) -> Iterator[Mistake]:
    for number, name in enumerate(names):
        if name not in known:
            yield (*place, str(number)), f"there is no {kind} {name}", _hint(name, known, words)


def _hint(name: str, known: Collection[str], words: str) -> str:
    near = get_close_matches(name, sorted(known), 1)
    return f"did you mean {near[0]}?" if near else f"{words} {', '.join(sorted(known)) or 'none'}"

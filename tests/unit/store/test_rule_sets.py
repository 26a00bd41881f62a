"""The set of rules in force: one place that writes, reads and parses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.rule_sets import RuleSets

WINDOW = {"id": "rate", "window": {"size": "5m", "by": []}, "fire": "error_rate > 0.1"}


def rule_set(*rules: dict[str, Any]) -> RuleSet:
    return build_rule_set([parse_rule(rule) for rule in rules])


def slow(limit: int) -> dict[str, Any]:
    return {"id": "slow", "when": f"execution_time_ms > {limit}", "tag": "slow_response"}


def opened(tmp_path: Path) -> tuple[Store, RuleSets]:
    store = open_store(str(tmp_path))
    return store, RuleSets(store)


def test_the_last_set_that_was_put_is_in_force_and_the_same_again_writes_nothing(tmp_path: Path) -> None:
    store, rule_sets = opened(tmp_path)
    assert rule_sets.in_force() is None
    first, second = rule_set(slow(1)), rule_set(slow(2))
    assert rule_sets.put(first, ["experiment"], 1)
    assert not rule_sets.put(first, ["experiment"], 2)
    assert store.table("rule_sets").version() == 0
    assert rule_sets.put(second, ["experiment"], 3)
    assert rule_sets.put(second, ["experiment", "tags.a,b"], 4)
    assert rule_sets.put(first, ["experiment"], 5)  # back to the former
    present = RuleSets(store).in_force()
    assert present is not None
    assert (present.hash, present.rules, present.group_by) == (first.hash, first, ("experiment",))
    assert store.table("rule_sets").read().height == 4


def test_a_comma_in_a_grouping_key_is_a_part_of_the_key(tmp_path: Path) -> None:
    store, rule_sets = opened(tmp_path)
    rule_sets.put(rule_set(slow(1)), ["tags.a,b"], 1)
    assert rule_sets.put(rule_set(slow(1)), ["tags.a", "b"], 2)
    present = RuleSets(store).in_force()
    assert present is not None
    assert present.group_by == ("tags.a", "b")


def test_a_set_that_another_process_put_is_in_force_at_the_next_question(tmp_path: Path) -> None:
    _, rule_sets = opened(tmp_path)
    rule_sets.put(rule_set(slow(1)), [], 1)
    RuleSets(open_store(str(tmp_path))).put(rule_set(slow(2)), [], 2)
    present = rule_sets.in_force()
    assert present is not None
    assert present.hash == rule_set(slow(2)).hash


def test_sem_08_a_former_set_is_found_by_its_hash(tmp_path: Path) -> None:
    _, rule_sets = opened(tmp_path)
    former = rule_set(slow(1))
    rule_sets.put(former, [], 1)
    rule_sets.put(rule_set(slow(2)), [], 2)
    assert rule_sets.of_hash(former.hash) == former
    assert rule_sets.of_hash("unknown") is None


def test_sem_07_the_sets_that_ever_held_a_version_of_a_rule(tmp_path: Path) -> None:
    _, rule_sets = opened(tmp_path)
    edited = {**WINDOW, "fire": "error_rate > 0.2"}
    sets = [rule_set(slow(1)), rule_set(slow(1), WINDOW), rule_set(slow(2), WINDOW), rule_set(edited)]
    for number, one in enumerate(sets):
        rule_sets.put(one, [], number)
    found = rule_sets.holding(sets[1].alert_rules)
    assert found == {sets[1].alert_rules[0].hash: {sets[1].hash, sets[2].hash}}
    assert rule_sets.holding(rule_set({**WINDOW, "id": "new"}).alert_rules).popitem()[1] == set()
    assert [item["id"] for item in rule_sets.ever()].count("rate") == 2
    assert len(rule_sets.ever()) == 4

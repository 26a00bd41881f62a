"""Conditions of datasets as rules: stored with the others, in no rule file, and without a tag."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from rules.kinds import all_kinds, tags_matches
from rules.kinds.dataset import DatasetRuleModel, dataset_rule, is_dataset_rule
from rules.loading.packs import load_packs
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.tags import matches_of, membership_of, tags_of


def of_dataset(condition: str) -> DatasetRuleModel:
    return DatasetRuleModel.model_validate({"id": dataset_rule("Slow.v2"), "feeds": condition})


OWN = build_rule_set([parse_rule({"id": "failed", "when": "status = 'ERROR'", "tag": "error_case"})])
WITH = OWN.with_rules([of_dataset("execution_time_ms  > 9000")])


def test_it_is_stored_with_the_others_and_the_same_when_it_is_read() -> None:
    again = RuleSet.from_json(WITH.to_json())
    assert (again.rules, again.hash, again.unread) == (WITH.rules, WITH.hash, ())
    assert WITH.rules[0] == OWN.rules[0]
    assert WITH.hash != OWN.hash
    assert OWN.with_rules([]) is OWN
    (rule,) = (one for one in again.rules if is_dataset_rule(one.id))
    assert (rule.dataset, rule.category, rule.alert, rule.per_trace is None) == ("Slow.v2", None, None, False)
    assert [one.id for one, _ in again.per_trace] == ["failed", "datasets.Slow.v2"]
    assert again.trace_rules == OWN.rules
    assert not tags_matches({"id": "datasets.Slow.v2", "feeds": "x"})
    assert tags_matches({"id": "failed", "when": "x"})


def test_its_hash_is_that_of_its_meaning() -> None:
    other = OWN.with_rules([of_dataset("execution_time_ms > 9000")])
    assert other.rules[1].hash == WITH.rules[1].hash
    changed = OWN.with_rules([of_dataset("execution_time_ms > 1")])
    assert changed.rules[1].hash != WITH.rules[1].hash


def test_a_match_tags_nothing_and_is_a_membership_with_its_condition_as_the_reason() -> None:
    fact = {
        "hits": [{"rule": "datasets.Slow.v2", "hash": "h"}],
        "start_us": 1,
        "end_us": 2,
        "experiment_id": "7",
    }
    assert matches_of(WITH, ["datasets.Slow.v2"], []) == []
    assert tags_of(WITH, "t", fact, []) == {"trace_id": "t", "category": None, "rules": []}
    assert membership_of(WITH, "t", fact, [])["categories"] == {
        "datasets.Slow.v2": {
            "rules": [{"rule": "datasets.Slow.v2", "hash": "h"}],
            "reason": "condition: execution_time_ms > 9000",
        }
    }
    assert membership_of(OWN, "t", fact, [])["categories"] == {}  # the condition is in force no more


def test_no_rule_file_can_hold_one(tmp_path: Path) -> None:
    assert "dataset" not in [kind.name for kind in all_kinds()]
    (tmp_path / "mine.yaml").write_text(
        "version: 1\nrules:\n  - {id: datasets.slow, feeds: execution_time_ms > 1}\n"
    )
    loaded = load_packs(["mine.yaml"], ("experiment",), tmp_path)
    assert loaded.rule_set is None
    with pytest.raises(ValidationError):
        parse_rule({"id": "datasets.slow", "feeds": "execution_time_ms > 1"})

"""Rule sets as the store keeps them: the text builds the same set again, and a hash follows the meaning."""

from __future__ import annotations

import pickle

from rules.loading.packs import load_packs
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.tags import category_of


def rule_set(**changed: object) -> RuleSet:
    item = {
        "id": "w",
        "where": "tags.a = 'b'",
        "window": {"size": "5m", "by": ["experiment"]},
        "fire": "error_rate > 0.05",
        "for": "2m",
        "evidence": {"tag": "error_case"},
    }
    return build_rule_set([parse_rule({**item, **changed})])


def test_a_pack_survives_its_text_and_pickling() -> None:
    shipped = load_packs(["default"], ("experiment", "trace_name")).rule_set
    assert shipped is not None
    again = RuleSet.from_json(shipped.to_json())
    assert again.hash == shipped.hash == pickle.loads(pickle.dumps(shipped)).hash
    assert [rule.hash for rule in again.trace_rules] == [rule.hash for rule in shipped.trace_rules]
    assert again.alert_rules == shipped.alert_rules


def test_sem_29_defaults_of_a_window_rule() -> None:
    rule = build_rule_set(
        [parse_rule({"id": "w", "window": {"size": "5m"}, "fire": "traces > 1"})]
    ).alert_rules[0]
    assert (rule.severity, rule.min_traces, rule.for_us, rule.clear, rule.every_us) == (
        "warning",
        1,
        0,
        None,
        60_000_000,
    )


def test_a_hash_changes_with_the_meaning_and_not_with_words() -> None:
    first = rule_set().alert_rules[0].hash
    assert rule_set(points_to="elsewhere", where="tags.a   =   'b'").alert_rules[0].hash == first
    for changed in (
        {"fire": "error_rate > 0.06"},
        {"for": "3m"},
        {"min_traces": 2},
        {"where": "tags.a = 'c'"},
    ):
        assert rule_set(**changed).alert_rules[0].hash != first


def test_sem_22_the_category_is_that_of_the_most_severe_match_and_ties_go_to_the_first() -> None:
    shipped = load_packs(["default"], ("experiment", "trace_name")).rule_set
    assert shipped is not None
    assert category_of(shipped, ["slow-responses", "error-traces"], []) == "error_case"
    assert category_of(shipped, ["slow-responses", "tool-loops"], []) == "slow_response"
    assert category_of(shipped, [], []) is None


def test_sem_22_the_order_is_that_of_the_files_and_severity_goes_first() -> None:
    items = [
        {"id": "a", "when": "status = 'OK'", "tag": "first", "severity": "info"},
        {"id": "b", "when": "status = 'OK'", "tag": "second"},
        {"id": "c", "when": "status = 'OK'", "tag": "third"},
    ]
    built = build_rule_set([parse_rule(item) for item in items])
    assert category_of(built, ["c", "b", "a"], []) == "second"
    turned = build_rule_set([parse_rule(item) for item in reversed(items)])
    assert category_of(turned, ["b", "c", "a"], []) == "third"

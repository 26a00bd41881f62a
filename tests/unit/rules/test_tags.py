"""What matches come to: a trace's category, the rules of each category, which rule is named first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rules.kinds.base import Category
from rules.loading.packs import load_packs
from rules.rule_set import RuleSet
from rules.tags import category_of, matches_of, membership_of, tags_of

MINE = """
version: 1
rules:
  - {id: refund, when: "status = 'ERROR'", tag: refund_error, severity: critical, points_to: the refund API}
  - {id: refund-old, when: "status = 'ERROR'", tag: refund_error, points_to: the old refund API}
  - {id: slow-tool, when: "execution_time_ms > 1", tag: error_case, severity: critical, points_to: my tool}
  - id: spend
    window: {size: 5m}
    fire: cost_usd > 1
    evidence: {tag: costly}
    severity: critical
"""


def rule_set(tmp_path: Path, entries: tuple[str, ...]) -> RuleSet:
    (tmp_path / "mine.yaml").write_text(MINE)
    loaded = load_packs(entries, ("experiment", "trace_name"), tmp_path)
    assert loaded.rule_set is not None, loaded.diagnostics
    return loaded.rule_set


def fact(*rules: str) -> dict[str, Any]:
    hits = [{"rule": rule, "hash": f"h-{rule}"} for rule in rules]
    return {"hits": hits, "start_us": 1, "end_us": 2, "experiment_id": "7"}


@pytest.mark.parametrize("entries", [("packs/default", "mine.yaml"), ("mine.yaml", "packs/default")])
def test_sem_33_a_users_rules_outrank_shipped_ones_of_the_same_severity(
    tmp_path: Path, entries: tuple[str, str]
) -> None:
    rules = rule_set(tmp_path, entries)
    again = RuleSet.from_json(rules.to_json())  # as the store keeps it
    for one in (rules, again):
        assert category_of(one, ["error-traces", "refund"], []) == "refund_error"
        assert category_of(one, ["error-traces", "refund-old"], []) == "error_case"  # severity goes first
        assert category_of(one, ["refund-old", "slow-responses"], []) == "refund_error"
        assert category_of(one, [], ["error-rate-high", "spend"]) == "costly"
        assert category_of(one, ["token-hotspots"], ["spend"]) == "edge_case"  # a match before evidence
        ids = ["refund-old", "tool-errors", "error-traces", "slow-tool", "refund"]
        first = [match.rule for match in matches_of(one, ids, ["spend"])]
        assert first == ["refund", "slow-tool", "error-traces", "refund-old", "tool-errors", "spend"]


def test_the_hash_of_a_rule_does_not_depend_on_where_it_stands(tmp_path: Path) -> None:
    one, other = (
        rule_set(tmp_path, entries)
        for entries in (("packs/default", "mine.yaml"), ("mine.yaml", "packs/default"))
    )
    assert one.hash == other.hash


def test_sem_22_the_tags_have_the_rules_of_each_category(tmp_path: Path) -> None:
    rules = rule_set(tmp_path, ("packs/default", "mine.yaml"))
    found = tags_of(rules, "t", fact("error-traces", "refund", "refund-old", "gone"), ["error-rate-high"])
    assert found == {
        "trace_id": "t",
        "category": "refund_error",
        "rules": ["error-rate-high", "error-traces", "refund", "refund-old"],
        "categories": {
            "refund_error": ["refund", "refund-old"],
            "error_case": ["error-rate-high", "error-traces"],
        },
    }
    # What takes everything back says what it always said: repeated, it is no new message.
    assert tags_of(rules, "t", fact("gone"), []) == {"trace_id": "t", "category": None, "rules": []}
    assert tags_of(rules, "t", None, ["spend"]) == {"trace_id": "t", "category": None, "rules": []}


def test_sem_33_the_reason_of_a_record_is_that_of_the_first_match_of_its_category(tmp_path: Path) -> None:
    rules = rule_set(tmp_path, ("packs/default", "mine.yaml"))
    found = membership_of(rules, "t", fact("error-traces", "tool-errors", "slow-tool"), ["error-rate-high"])
    (entry,) = found["categories"].values()
    assert entry["reason"] == "my tool"
    assert [one["rule"] for one in entry["rules"]] == [
        "slow-tool",
        "error-traces",
        "tool-errors",
        "error-rate-high",
    ]
    assert [one["hash"] for one in entry["rules"][:3]] == ["h-slow-tool", "h-error-traces", "h-tool-errors"]


@pytest.mark.parametrize("name", ["a", "1st", "a--b", "or-like", "and", "a_-", "x" * 64])
def test_every_name_of_a_category_can_be_the_key_of_a_tag_and_of_a_filter(name: str) -> None:
    from mlflow.utils.search_utils import SearchTraceUtils
    from mlflow.utils.validation import _validate_tag_name
    from pydantic import TypeAdapter

    from sinks.mlflow.tags import OF_CATEGORY

    assert TypeAdapter(Category).validate_python(name) == name
    key = OF_CATEGORY + name
    _validate_tag_name(key)
    (parsed,) = SearchTraceUtils.parse_search_filter_for_search_traces(f"tags.`{key}` LIKE '%refund%'")
    assert (parsed["type"], parsed["key"], parsed["value"]) == ("tag", key, "%refund%")


@pytest.mark.parametrize("name", ["", "Refund", "refund error", "a`b", "a.b", "-a", "x" * 65, "a%", "ä"])
def test_any_other_name_is_an_error_of_lint(tmp_path: Path, name: str) -> None:
    text = MINE.replace("tag: refund_error", f'tag: "{name}"', 1)
    (tmp_path / "bad.yaml").write_text(text)
    (found,) = load_packs(("bad.yaml",), (), tmp_path).errors
    assert (found.code, found.line, found.message.split(":")[0]) == ("wrong-value", 4, "`tag`")

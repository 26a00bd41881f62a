"""The writes that bring a trace's tags to what a message says; any cut of them is mended by a repeat."""

from __future__ import annotations

from typing import Any

import pytest

from sinks.mlflow.tags import CANDIDATE, CATEGORY, OF_CATEGORY, RULES, changes, rules_text

OTHER = OF_CATEGORY + "other"
TAGS: list[dict[str, str]] = [
    {},
    {CANDIDATE: "a", CATEGORY: "a", RULES: "q,r", OF_CATEGORY + "a": "r", OTHER: "q"},
    {CANDIDATE: "a", CATEGORY: "a", RULES: "r"},
    {CANDIDATE: "mine"},
    {CANDIDATE: "mine", CATEGORY: "a", RULES: "r"},
    {CATEGORY: "a"},
]


@pytest.mark.parametrize("before", TAGS)
@pytest.mark.parametrize("category", [None, "a", "b"])
def test_sem_22_any_cut_and_a_repeat_end_alike_and_keep_a_persons_tag(
    before: dict[str, str], category: str | None
) -> None:
    payload: dict[str, Any] = {"category": category, "rules": ["r"] if category else []}
    if category:
        payload["categories"] = {category: ["r"], "also": ["r"]}

    def apply(tags: dict[str, str], steps: list[tuple[str, str, str]]) -> dict[str, str]:
        out = dict(tags)
        for change, key, value in steps:
            out.pop(key, None) if change == "delete" else out.update({key: value})
        return out

    steps = changes(before, payload)
    end = apply(before, steps)
    assert changes(end, payload) == []
    if before.get(CANDIDATE) == "mine":
        assert end[CANDIDATE] == "mine"
    else:
        assert end.get(CANDIDATE) == category
    of_categories = {OF_CATEGORY + name: "r" for name in (category, "also") if category and name}
    assert {key: end[key] for key in end if key.startswith(OF_CATEGORY)} == of_categories
    for cut in range(len(steps)):
        middle = apply(before, steps[:cut])
        assert apply(middle, changes(middle, payload)) == end
        back = {"category": None, "rules": []}
        undone = apply(middle, changes(middle, back))
        assert undone.get(CANDIDATE) in (None, "mine")
        assert RULES not in undone
        assert not [key for key in undone if key.startswith(CATEGORY)]


def test_rule_ids_that_do_not_fit_a_tag_are_counted_and_never_cut() -> None:
    assert rules_text(["b", "a"]) == "a,b"
    ids = [f"rule-{number:03}-{'x' * 40}" for number in range(150)]
    text = rules_text(ids)
    *shown, more = text.split(",")
    assert len(text) <= 4096
    assert shown == ids[: len(shown)]
    assert more == f"+{150 - len(shown)}"
    before = {RULES: text, CATEGORY: "c", CANDIDATE: "c", OF_CATEGORY + "c": text}
    assert changes(before, {"category": "c", "rules": ids, "categories": {"c": ids}}) == []


def test_a_message_of_a_program_that_knew_no_tag_a_category_changes_none_of_them() -> None:
    before = {CANDIDATE: "a", CATEGORY: "a", RULES: "q,r", OTHER: "q"}
    assert changes(before, {"category": "a", "rules": ["q", "r"]}) == []

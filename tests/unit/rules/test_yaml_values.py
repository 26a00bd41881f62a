"""What YAML does to a rule: conditions that it cannot read, and values that it reads as something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.loading.packs import Loaded, load_packs
from rules.loading.rule_tests import run_tests

HEAD = "version: 1\nrules:\n"
RULE = "  - id: a\n    when: status = 'OK'\n    tag: t\n"


def load(tmp_path: Path, rules: str) -> Loaded:
    file = tmp_path / "r.yaml"
    file.write_text(HEAD + rules)
    return load_packs([file], ())


@pytest.mark.parametrize(
    "condition",
    [
        "name = 'x: y'",
        "'prod' = tags.env",
        "`a` = 1",
        "%x",
        "@x",
        "[status = 'OK'",
        "name = 'x'\n      AND name = 'y: z'",
        "name RLIKE 'a' \"b\": c",
    ],
)
@pytest.mark.parametrize("key", ["when", "fire"])
def test_a_condition_that_yaml_cannot_read_is_to_be_quoted(tmp_path: Path, condition: str, key: str) -> None:
    found = load(tmp_path, f"  - id: a\n    {key}: {condition}\n    tag: t\n").diagnostics
    assert [(one.code, one.severity) for one in found] == [("yaml", "error")]
    assert found[0].hint.startswith("quote the condition")


@pytest.mark.parametrize("rules", ["  - id: a: b\n", "  - id: a\n    tags: [\n", "\t- id: a\n"])
def test_yaml_that_is_wrong_elsewhere_has_no_such_hint(tmp_path: Path, rules: str) -> None:
    assert [(one.code, one.hint) for one in load(tmp_path, rules).diagnostics] == [("yaml", "")]


def test_a_condition_that_a_comment_cuts_is_to_be_quoted(tmp_path: Path) -> None:
    found = load(tmp_path, "  - id: a\n    when: request LIKE '% #urgent%'\n    tag: t\n").errors
    assert [(one.code, one.message) for one in found] == [("syntax", "the quote ' is not closed")]
    assert "takes what follows ` #` for a comment" in found[0].hint
    found = load(tmp_path, "  - id: a\n    when: status = 'OK' # all\n    tag: t\n").errors
    assert found == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("no", "false"),
        ("Yes", "true"),
        ("off", "false"),
        ("1.10", "1.1"),
        ("12:30", "750"),
        ("010", "8"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        (".5", "0.5"),
    ],
)
def test_a_value_that_yaml_reads_otherwise_is_a_warning(tmp_path: Path, written: str, read: str) -> None:
    loaded = load(tmp_path, RULE + f"    tests:\n      match: [{{tags: {{k: {written}}}}}]\n")
    assert [(one.code, one.severity, one.line, one.column, one.hint) for one in loaded.diagnostics] == [
        ("yaml-value", "warning", 7, 23, f"YAML reads `{written}` as {read}: write '{written}'")
    ]


@pytest.mark.parametrize(
    "test",
    [
        "{tags: {k: true, l: 5, m: 1.5, n: 'no', o: \"1.10\", p: x, q: -3}}",
        "{feedback: {score: 0.50, ok: false}, expectation: {x: 1.10, y: null}}",
        "{duration_ms: 1.10, cost: 0.50, spans: [{duration_ms: 010}]}",
        "{spans: [{attributes: {temperature: 0.70}}]}",
        "{request_time: 2026-01-31T08:00:00Z}",
        "{request_time: 2026-01-31}",
    ],
)
def test_a_value_that_is_what_it_looks_like_is_none(tmp_path: Path, test: str) -> None:
    loaded = load(tmp_path, RULE + f"    tests:\n      match: [{test}]\n")
    assert loaded.diagnostics == [] and loaded.rule_set is not None
    assert run_tests(loaded.rule_set.rules[0]) == []


def test_one_wrong_value_is_one_finding(tmp_path: Path) -> None:
    loaded = load(tmp_path, RULE + "    tests:\n      match: [{tags: {day: 2026-01-01, x: [1]}, name: no}]\n")
    assert [(one.code, one.message, one.hint) for one in loaded.diagnostics] == [
        (
            "wrong-value",
            "`tests.match.0.tags.day`: a text, a number or true or false is expected, not 2026-01-01",
            "YAML reads `2026-01-01` as a date: write '2026-01-01'",
        ),
        (
            "wrong-value",
            "`tests.match.0.tags.x`: a text, a number or true or false is expected, not a list",
            "its tags",
        ),
        (
            "wrong-value",
            "`tests.match.0.name`: a text is expected, not false",
            "YAML reads `no` as false: write 'no'",
        ),
    ]


def test_a_date_in_an_attribute_is_a_warning_and_no_crash(tmp_path: Path) -> None:
    loaded = load(tmp_path, RULE + "    tests:\n      match: [{spans: [{attributes: {day: 2026-01-01}}]}]\n")
    assert [one.code for one in loaded.diagnostics] == ["yaml-value"]
    assert loaded.rule_set is not None and run_tests(loaded.rule_set.rules[0]) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: a", "id: A b", "`id`: only small letters, digits, `-` and `_`"),
        ("tag: t", "tag: Bad Tag", "`tag`: only small letters"),
        (
            "tag: t",
            "tag: t\n    severity: high",
            "`severity`: one of 'info', 'warning' or 'critical' is expected",
        ),
        ("tag: t", "tag: t\n    tests: 3", "`tests`: a mapping is expected"),
        ("tag: t", "tag: t\n    tests: {match: 3}", "`tests.match`: a list is expected"),
        ("tag: t", "tag: t\n    tests: {match: [{duration_ms: x}]}", "a number is expected"),
        ("tag: t", "tag: t\n    tests: {match: [{request_time: x}]}", "a time such as"),
        ("tag: t", "tag: t\n    tests: {match: [{tokens: {input: 1.5}}]}", "a whole number is expected"),
    ],
)
def test_no_message_is_one_of_the_validator_or_a_regular_expression(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    found = [one for one in load(tmp_path, RULE.replace(old, new)).errors if one.code == "wrong-value"]
    assert len(found) == 1 and message in found[0].message
    assert "Input should" not in found[0].message and "^[" not in found[0].message

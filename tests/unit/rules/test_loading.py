"""Loading rule files: every diagnostic, each at its place, and none hidden by another."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.loading.packs import Loaded, load_packs
from rules.loading.yaml_file import MAX_BYTES

GROUP_BY = ("experiment", "trace_name", "environment")
HEAD = "version: 1\nrules:\n"


def load(tmp_path: Path, text: str) -> Loaded:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    return load_packs([file], GROUP_BY)


def places(loaded: Loaded) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.code) for finding in loaded.errors]


def rule(condition: str, name: str = "a") -> str:
    return f"  - id: {name}\n    when: {condition}\n    tag: t\n"


def test_sem_30_a_pack_is_a_shipped_name_a_file_or_a_folder(tmp_path: Path) -> None:
    for name in ("packs/default", "default"):
        loaded = load_packs([name], GROUP_BY)
        assert (
            loaded.diagnostics == [] and loaded.rule_set is not None and len(loaded.rule_set.alert_rules) == 2
        )
    (tmp_path / "a.yaml").write_text(HEAD + rule("status = 'ERROR'"))
    (tmp_path / "b.yml").write_text(HEAD + rule("status = 'OK'", "b"))
    loaded = load_packs([tmp_path], GROUP_BY)
    assert loaded.rule_set is not None and [r.id for r in loaded.rule_set.trace_rules] == ["a", "b"]
    assert [f.code for f in load_packs(["nope"], GROUP_BY).diagnostics] == ["no-file"]


def test_sem_29_a_syntax_error_hides_no_finding_and_duplicates_are_reported_at_the_second(
    tmp_path: Path,
) -> None:
    text = HEAD + (
        "  - id: a\n    when: status = 'ERROR' AND nope = 3\n    tag: t\n    sevrity: high\n"
        "  - id: a\n    when: status = 'ERROR' AND (\n    tag: t\n"
        "  - id: w\n    where: name = 3\n    window: {size: 90s, by: [model]}\n    fire: error_rat > 0.05\n"
        "    min_traces: many\n"
    )
    loaded = load(tmp_path, text)
    assert loaded.rule_set is None
    assert [(f.line, f.code) for f in loaded.errors] == [
        (4, "unknown-field"),
        (6, "unknown-key"),
        (7, "duplicate-id"),
        (8, "syntax"),
        (11, "type"),
        (12, "window"),
        (12, "by"),
        (13, "unknown-field"),
        (14, "wrong-value"),
    ]
    assert loaded.errors[0].column == 32
    assert loaded.errors[1].hint == "did you mean `severity`?"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("status = 'OK' AND nope = 1", (4, 29)),
        ("\"status = 'OK' AND nope = 1\"", (4, 30)),
        ("'status = ''OK'' AND nope = 1'", (4, 32)),
        ("\"\\x73tatus = 'OK' AND nope = 1\"", (4, 33)),
        ("|\n      status = 'OK'\n      AND nope = 1", (6, 11)),
        ("|\n      status = 'OK'\n        AND nope = 1", (6, 13)),
        (">-\n      status = 'OK'\n      AND nope = 1", (6, 11)),
        ("status = 'OK'\n      AND nope = 1", (5, 11)),
        ("\"status = 'OK'\n      AND nope = 1\"", (5, 11)),
    ],
)
def test_a_place_inside_a_condition_is_a_place_in_the_file(
    tmp_path: Path, written: str, place: tuple[int, int]
) -> None:
    loaded = load(tmp_path, HEAD + rule(written))
    assert places(loaded) == [(*place, "unknown-field")]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: [", "yaml", 1),
        ("version: 1\nrules: &x []\nmore: *x\n", "yaml", 3),
        ("version: 1\nrules: !!python/object:os.system []\n", "", 0),
        ("version: 1\nrules:\n  - id: !!python/name:os.system x\n", "yaml", 3),
        ("version: 1\nrules:\n  - id: 2026-13-40\n", "yaml", 3),
        ("[" * 50_000, "yaml", 1),
        ("#" * (MAX_BYTES + 1), "too-large", 1),
        ("version: 2\nrules: []\n", "format", 1),
        ("", "format", 1),
        ("version: 1\nrules: []\nruels: []\n", "unknown-key", 3),
        ("version: 1\nversion: 1\nrules: []\n", "duplicate-key", 2),
        (HEAD + "  - just text\n", "format", 3),
    ],
)
def test_a_file_that_is_no_rule_file_is_a_finding_never_a_crash(
    tmp_path: Path, text: str, code: str, line: int
) -> None:
    found = [(finding.code, finding.line) for finding in load(tmp_path, text).diagnostics]
    assert found == ([(code, line)] if code else [])


def test_a_test_in_a_rule_is_checked_like_the_rest(tmp_path: Path) -> None:
    text = HEAD + rule("status = 'OK'") + "    tests:\n      match: [{spnas: []}, {tokens: 5}]\n"
    assert [(f.line, f.column, f.code) for f in load(tmp_path, text).diagnostics] == [
        (7, 16, "unknown-key"),
        (7, 29, "wrong-value"),
    ]

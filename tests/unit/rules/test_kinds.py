"""Kinds of rules: what each says of a rule as written, and that a new one needs its file and a line in the
registry alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rules import kinds
from rules.diagnostics import Diagnostic
from rules.dialect import Condition, compile_condition
from rules.kinds import Kind, RuleModel
from rules.loading.packs import Loaded, load_packs
from rules.loading.reference import rules_reference
from rules.rule import Rule, hash_of
from rules.rule_set import RuleSet

GROUP_BY = ("experiment", "trace_name", "environment")
MOST = "how many traces, picked once when the alert begins to fire"
WINDOW = "  - id: w\n    window: {size: 5m, every: 2m}\n    fire: error_rate > 0.05\n"


def load(tmp_path: Path, rules: str) -> Loaded:
    file = tmp_path / "r.yaml"
    file.write_text("version: 1\nrules:\n" + rules)
    return load_packs([file], GROUP_BY)


def test_sem_29_a_warning_does_not_stop_a_load(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "  - id: a\n    when: status = 'ERROR'\n    tag: t\n" + WINDOW + "    clear: error_rate < 0.2\n",
    )
    assert [(f.line, f.column, f.code, f.severity) for f in loaded.diagnostics] == [
        (3, 5, "no-tests", "warning"),
        (9, 5, "clear-overlaps", "warning"),
    ]
    assert loaded.rule_set is not None and loaded.errors == []


@pytest.mark.parametrize(
    "clear", ["error_rate < 0.02", "error_rate <= 0.05", "p95_ms < 5", "error_rate < 0.02 OR traces < 5"]
)
def test_a_clear_that_may_be_meant_is_not_remarked(tmp_path: Path, clear: str) -> None:
    assert load(tmp_path, WINDOW + f"    clear: {clear}\n").diagnostics == []


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (WINDOW + "    for: 3m\n", (6, 5, "grid", "use a multiple of 120s, at which the rule is evaluated")),
        (
            WINDOW + "    keep_firing_for: 90s\n",
            (6, 5, "grid", "use a multiple of 120s, at which the rule is evaluated"),
        ),
        (WINDOW.replace("5m", "90s"), (4, 14, "window", "such as 5m")),
        (WINDOW.replace("5m", "0m"), (4, 14, "window", "such as 5m")),
        (
            WINDOW.replace("every: 2m", "by: [tags.x]"),
            (4, 29, "by", "use some of experiment, trace_name, environment"),
        ),
        (WINDOW.replace("error_rate > 0.05", "error_rate > 1"), (5, 11, "never-true", "")),
        (WINDOW.replace("size", "sise"), (4, 14, "unknown-key", "did you mean `size`?")),
        (WINDOW + "    evidence: {tag: t, moist: 3}\n", (6, 24, "unknown-key", "did you mean `most`?")),
        (WINDOW + "    evidence: {tag: t, most: 3000}\n", (6, 24, "wrong-value", MOST)),
        (WINDOW + "    tag: t\n", (6, 5, "unknown-key", "only trace rules have it")),
        (
            "  - id: a\n    when: status = 'OK'\n    tag: t\n    evidence: {tag: t}\n",
            (6, 5, "unknown-key", "only window rules have it"),
        ),
        ("  - id: a\n    when: status = 'OK'\n    tag: t\n    severity: high\n", (6, 5, "wrong-value", "")),
        ("  - id: A!\n    when: status = 'OK'\n    tag: t\n", (3, 5, "wrong-value", "")),
        ("  - id: a\n\twhen: x\n", (4, 1, "yaml", "")),
    ],
)
def test_sem_29_what_is_wrong_is_reported_at_its_place_with_a_hint(
    tmp_path: Path, rules: str, found: Any
) -> None:
    errors = [(f.line, f.column, f.code, f.hint) for f in load(tmp_path, rules).errors]
    assert found in errors, errors


def test_a_rule_of_no_kind_is_reported_with_the_kinds_there_are(tmp_path: Path) -> None:
    messages = [finding.message for finding in load(tmp_path, "  - id: a\n").errors]
    assert messages == [
        "`window` is required in a window rule; a trace rule has `when`",
        "`fire` is required in a window rule; a trace rule has `when`",
    ]


class _Sampled(RuleModel):
    """A rule that a test adds."""

    sample: str


@dataclass(frozen=True)
class _SampledRule(Rule):
    kind: ClassVar[str] = "sample"
    of: Condition

    @property
    def per_trace(self) -> Condition:
        return self.of


def _build(model: _Sampled) -> _SampledRule:
    return _SampledRule(
        model.id, model.severity, model.points_to, hash_of([model.id]), compile_condition(model.sample)
    )


def _check(_: Any, group_by: Any) -> Iterator[Diagnostic]:
    yield Diagnostic("of-its-own", f"{len(group_by)} keys", severity="warning", path=("id",))


def test_a_new_kind_is_a_file_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind("sample", "sample", _Sampled, _SampledRule, _build, {"sample": "trace"}, _check)
    monkeypatch.setattr(kinds, "KINDS", (kind, *kinds.KINDS))
    loaded = load(tmp_path, "  - id: s\n    sample: status = 'OK'\n" + WINDOW)
    assert [finding.code for finding in loaded.diagnostics] == ["of-its-own"]
    assert loaded.rule_set is not None
    assert [(rule.id, condition.text) for rule, condition in loaded.rule_set.per_trace] == [
        ("s", "status = 'OK'")
    ]
    assert [rule.id for rule in loaded.rule_set.alert_rules] == ["w"]
    again = RuleSet.from_json(loaded.rule_set.to_json())
    assert (again.hash, again.rules[0].hash) == (loaded.rule_set.hash, loaded.rule_set.rules[0].hash)
    broken = load(tmp_path, "  - id: s\n    sample: stat = 'OK'\n")
    assert [(finding.line, finding.column, finding.code) for finding in broken.errors] == [
        (4, 13, "unknown-field")
    ]


def test_the_reference_in_the_docs_is_that_of_the_program() -> None:
    text = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
    assert text.endswith(f"<!-- Below: tracesieve rules schema --markdown -->\n\n{rules_reference()}"), (
        "put the output of `tracesieve rules schema --markdown` below the mark in docs/rules.md"
    )

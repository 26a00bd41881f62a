"""A kind of alert rule that is one file (``tests/support/toy_alert_kind.py``) and one registry line: its part
of a rule file, and its fold.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import toy_alert_kind

from rules import kinds
from rules.alerting.fold import Fold
from rules.alerting.sums import MEASURED
from rules.alerting.verdicts import history
from rules.alerting.windows import Minutes
from rules.loading.packs import Loaded, load_packs
from rules.loading.reference import rules_reference
from rules.loading.schema import rule_schema
from rules.rule_set import RuleSet

MINUTE = 60_000_000
LAST = 60
RULE = """version: 1
rules:
  - id: surge
    surge: {minutes: 3, times: 2}
    only: status = 'ERROR'
    by: [experiment]
    evidence: {tag: edge_case}
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the registry."""
    monkeypatch.setattr(kinds, "KINDS", (toy_alert_kind.KIND, *kinds.KINDS))


def load(tmp_path: Path, text: str) -> Loaded:
    (tmp_path / "r.yaml").write_text(text)
    return load_packs([tmp_path / "r.yaml"], ("experiment",))


def test_its_rules_load_alert_and_survive_their_text(tmp_path: Path) -> None:
    rules = load(tmp_path, RULE).rule_set
    assert rules is not None
    (rule,) = rules.alert_rules
    assert (rule.kind, rule.category, rule.by, rule.lookback_us) == (
        "surge",
        "edge_case",
        ("experiment",),
        6 * MINUTE,
    )
    assert rules.trace_rules == ()
    assert rules.partial_keys == (rule.hash,)
    assert [one.id for one, _ in rules.per_trace] == ["surge"]
    assert rules.counts == "1 surge rules, 0 trace rules, 0 window rules"
    again = RuleSet.from_json(rules.to_json())
    assert again.rules == rules.rules
    assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize(
    ("wrong", "right", "found"),
    [
        ("minutes: 3", "minuets: 3", (4, 13, "unknown-key", "did you mean `minutes`?")),
        ("[experiment]", "[model]", (6, 10, "by", "use some of experiment")),
        ("status", "statis", (5, 11, "unknown-field", "did you mean `status`?")),
        ("times: 2", "times: 1", (4, 25, "no-surge", "use more than 1")),
        (
            "    by: [experiment]\n",
            "    window: {size: 5m}\n",
            (6, 5, "unknown-key", "only window rules have it"),
        ),
    ],
)
def test_what_is_wrong_with_one_is_shown_at_its_place(
    tmp_path: Path, wrong: str, right: str, found: Any
) -> None:
    diagnostics = load(tmp_path, RULE.replace(wrong, right)).diagnostics
    assert found in [(one.line, one.column, one.code, one.hint) for one in diagnostics]


def test_the_schema_and_the_reference_are_made_when_they_are_asked_for() -> None:
    assert "SurgeRuleModel" in rule_schema()["$defs"]
    reference = rules_reference()
    assert "### A surge rule" in reference
    assert "### `Surge`" in reference
    assert "| `times` | number | required |" in reference


traffic = st.tuples(st.integers(0, LAST - 1), st.integers(1, 9))  # minute, traces


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(traffic, max_size=8), st.integers(0, 20)), min_size=1, max_size=6))
def test_sem_15_its_history_is_one_fold_whatever_the_order_of_arrival(steps: Any) -> None:
    model = toy_alert_kind.SurgeRuleModel(id="surge", surge=toy_alert_kind.SurgeModel(minutes=3, times=2))
    rule = toy_alert_kind.KIND.build(model).alert
    assert rule is not None
    minutes, fold, through = Minutes(), Fold(rule, 0), 0
    for arrived, more in steps:
        for minute, traces in arrived:
            minutes.add(minute * MINUTE, [traces, *[0] * (len(MEASURED) - 1)], [], [])
        through = min(through + more, LAST)
        touched = [minute for minute, _ in arrived]
        fold.advance(
            minutes, through * MINUTE, (min(touched) * MINUTE, max(touched) * MINUTE) if touched else None
        )
        whole = range(MINUTE, through * MINUTE + 1, MINUTE)
        assert fold.changes == history(rule, minutes, whole)
        states = [change.state for change in fold.changes] + [fold.state]
        assert pickle.loads(pickle.dumps(states)) == states
        assert len({hash(state) for state in states}) <= len(states)

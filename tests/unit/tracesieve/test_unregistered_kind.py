"""A store whose last rules are of a kind that this program does not have: a plugin was taken away, or the
program is older than the one before.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support import toy_alert_kind
from support.made_facts import MINUTE, T0, batch, fact

from rules import kinds
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.outbox import Outbox
from store.rule_sets import RuleSets
from tracesieve.alerts.listing import list_alerts
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.analysis.report import report
from tracesieve.run.new_rules import log_unread_rules

DAY = 86_400_000_000
FAILING = {"id": "failing", "when": "status = 'ERROR'", "tag": "error_case"}
SURGE = {"id": "surge", "surge": {"minutes": 3, "times": 2}, "by": ["experiment"], "severity": "critical"}


def step(store: Store, rules: RuleSet, minute: int) -> list[dict[str, Any]]:
    """One pass of the followers of a run that has just started."""
    now_us = T0 + minute * MINUTE
    verdicts = Verdicts(store, "s", DAY)
    notifications = Notifications(
        store, Outbox(store), DAY, ["alertmanager"], ["alert_log"], verdicts.held_us
    )
    verdicts.step(rules, now_us, now_us)
    return notifications.step(rules, now_us, verdicts.evaluated())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which an alert of such a rule fires; the kind is gone afterwards."""
    opened = open_store(str(tmp_path / "st"))
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "KINDS", (toy_alert_kind.KIND, *kinds.KINDS))
        rules = build_rule_set([parse_rule(FAILING), parse_rule(SURGE)])
        RuleSets(opened).put(rules, ["experiment"], 1)
        rows = [
            fact(f"t-{minute}-{i}", minute) for minute in range(12) for i in range(6 if minute >= 9 else 2)
        ]
        batch(opened, 0, rows, rules)
        (fired,) = step(opened, rules, 12)
        assert (fired["rule"], fired["status"]) == ("surge", "firing")
    return opened


def test_the_other_rules_are_read_and_the_unknown_one_is_named(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    present = RuleSets(store).in_force()
    assert present is not None
    assert [rule.id for rule in present.rules.rules] == ["failing"]
    assert present.rules.unread == ("surge",)
    assert present.rules.hash == present.hash  # it is still the set that the store holds
    caplog.set_level(logging.WARNING, "tracesieve.run")
    log_unread_rules(present.rules)
    assert len(caplog.messages) == 1 and ": surge; they match nothing now" in caplog.messages[0]


def test_a_run_goes_on_and_ends_its_alerts(store: Store) -> None:
    rules = build_rule_set([parse_rule(FAILING)])
    assert RuleSets(store).put(rules, ["experiment"], 2)
    (ended,) = step(store, rules, 13)
    assert (ended["rule"], ended["status"]) == ("surge", "resolved")
    assert [one["status"] for one in list_alerts(store)] == ["resolved"]


def test_an_edited_rule_of_the_same_name_starts_afresh(store: Store) -> None:
    window = {"id": "surge", "window": {"size": "5m", "by": ["experiment"]}, "fire": "traces > 1000"}
    rules = build_rule_set([parse_rule(window)])
    assert RuleSets(store).holding(rules.alert_rules) == {rules.alert_rules[0].hash: set()}
    RuleSets(store).put(rules, ["experiment"], 2)
    assert [one["status"] for one in step(store, rules, 13)] == ["resolved"]


def test_commands_that_read_go_on(store: Store) -> None:
    assert report(store, T0, T0 + 20 * MINUTE, [], T0 + 20 * MINUTE)["traces"] == 36
    assert [one["rule"] for one in list_alerts(store)] == ["surge"]


@pytest.mark.parametrize(
    "changed", [{"when": "no_such_field = 3"}, {"new_key": 1}, {"severity": "apocalyptic"}, {"when": 5}]
)
def test_a_rule_of_a_newer_program_is_left_out_alone(changed: dict[str, Any]) -> None:
    text = json.dumps([{**FAILING, **changed, "id": "newer"}, FAILING])
    rules = RuleSet.from_json(text)
    assert ([rule.id for rule in rules.rules], rules.unread, rules.to_json()) == (
        ["failing"],
        ("newer",),
        text,
    )

"""What the program does with a rule of a kind that it does not know (``tests/support/toy_alert_kind.py``): it
alerts, tags its evidence, is measured, reported, listed and explained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from prometheus_client import generate_latest
from support import toy_alert_kind
from support.made_facts import MINUTE, T0, batch, fact, put

from rules import kinds
from rules.loading.packs import load_packs
from rules.rule_set import RuleSet
from rules.units import utc
from sinks.prometheus.state import MetricsState
from store import Store, open_store
from store.outbox import Outbox
from store.schemas import TRACES
from tracesieve.alerts.listing import list_alerts
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.analysis.report import report
from tracesieve.cli import cli
from tracesieve.datasets.memberships import TagsAndMemberships
from tracesieve.run.metrics import MetricsFollower

DAY = 86_400_000_000
RULES = """version: 1
rules:
  - {id: failing, when: "status = 'ERROR'", tag: error_case, tests: {match: [{status: ERROR}]}}
  - id: surge
    surge: {minutes: 3, times: 2}
    only: status = 'ERROR'
    by: [experiment]
    severity: critical
    points_to: a retry storm
    evidence: {tag: edge_case, most: 3}
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the registry."""
    monkeypatch.setattr(kinds, "KINDS", (toy_alert_kind.KIND, *kinds.KINDS))


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    (tmp_path / "rules.yaml").write_text(RULES)
    found = load_packs([tmp_path / "rules.yaml"], ("experiment",)).rule_set
    assert found is not None
    return found


@pytest.fixture
def store(tmp_path: Path, rules: RuleSet) -> Store:
    """Two failed traces a minute, then six, among traces that did not fail."""
    opened = open_store(str(tmp_path / "st"))
    put(opened, rules, 1)
    hits = [{"rule": rule.id, "hash": rule.hash} for rule, _ in rules.per_trace]
    rows = [
        fact(f"bad-{minute}-{i}", minute, error=True, hits=hits)
        for minute in range(12)
        for i in range(6 if minute >= 9 else 2)
    ]
    batch(opened, 0, [*rows, *(fact(f"good-{minute}", minute) for minute in range(12))], rules)
    return opened


class Followers:
    """Those of a run, which know the rule by its contract."""

    def __init__(self, store: Store, rules: RuleSet) -> None:
        self.rules, self.outbox = rules, Outbox(store)
        self.verdicts = Verdicts(store, "s", DAY)
        self.notifications = Notifications(
            store, self.outbox, DAY, ["alertmanager"], ["alert_log"], self.verdicts.held_us
        )
        self.tags = TagsAndMemberships(store, self.outbox, "s", ["mlflow_tags"], ["mlflow_datasets"])
        self.state = MetricsState(["experiment"])
        self.metrics = MetricsFollower(store, self.state, "s", self.outbox, ["experiment"])

    def step(self, minute: int) -> list[dict[str, Any]]:
        now = T0 + minute * MINUTE
        self.verdicts.step(self.rules, now, now)
        rows = self.notifications.step(self.rules, now, self.verdicts.evaluated())
        self.tags.step(self.rules, now)
        self.metrics.step(self.rules, now, now, self.notifications.alerts())
        return rows


def states(store: Store) -> list[tuple[int, str]]:
    rows = net_verdicts(store.table("verdicts").read())
    return [((row["instant_us"] - T0) // MINUTE, row["state"]) for row in rows]


def test_it_pends_fires_and_ends_also_across_restarts(store: Store, rules: RuleSet) -> None:
    # The first traffic of all is a surge too, at the minutes 4 and 5.
    expected = [(4, "pending"), (5, "inactive"), (11, "pending"), (12, "firing"), (13, "inactive")]
    followers = Followers(store, rules)
    for minute in range(1, 20):
        if minute % 5 == 0:
            followers = Followers(store, rules)
        followers.step(minute)
    assert states(store) == expected
    versions = {name: table.version() for name, table in store.tables().items()}
    Followers(store, rules).step(19)
    assert {name: table.version() for name, table in store.tables().items()} == versions
    late = [
        fact(f"late-{i}", 8, error=True, hits=[{"rule": "surge", "hash": rules.alert_rules[0].hash}])
        for i in range(30)
    ]
    batch(store, 1, late, rules)
    Followers(store, rules).step(19)
    assert (12, "firing") not in states(store)  # there was more traffic before, so that it was no surge


def test_its_alert_has_its_words_and_its_evidence_is_tagged(store: Store, rules: RuleSet) -> None:
    followers = Followers(store, rules)
    (row,) = followers.step(12)
    assert (row["status"], row["rule"], row["severity"], row["group"]) == (
        "firing",
        "surge",
        "critical",
        ["support"],
    )
    assert row["condition"] == "2 times the traffic of the 3 minutes before"
    assert row["summary"].startswith("18 traces, 3.0 times those before")
    evidence = [f"bad-11-{i}" for i in range(3)]
    assert row["evidence"] == evidence
    (message,) = followers.outbox.pending("alertmanager")
    assert message.payload["status"] == "firing"
    tags = {one.target: one.payload for one in followers.outbox.pending("mlflow_tags")}
    assert tags["bad-11-0"]["rules"] == ["failing", "surge"]
    assert tags["bad-10-0"]["rules"] == ["failing"]
    records = {one.target: one.payload["categories"] for one in followers.outbox.pending("mlflow_datasets")}
    assert records["bad-11-0"]["edge_case"]["reason"] == "a retry storm"
    assert "edge_case" not in records["bad-10-0"]


def test_it_is_measured_reported_and_listed(store: Store, rules: RuleSet) -> None:
    followers = Followers(store, rules)
    followers.step(12)
    text = generate_latest(followers.state.registry()).decode()
    assert 'tracesieve_alerts{rule="surge",severity="critical",state="firing"} 1.0' in text
    assert "tracesieve_rules_loaded 2.0" in text
    document = report(store, T0, T0 + 20 * MINUTE, [], T0 + 20 * MINUTE)
    assert document["rules"] == {"failing": 36, "surge": 3}  # what it counts is no match of it
    (alert,) = list_alerts(store)
    assert (alert["rule"], alert["status"], alert["evidence"][0]) == ("surge", "firing", "bad-11-0")


def test_commands_list_and_explain_it(store: Store, rules: RuleSet, tmp_path: Path) -> None:
    Followers(store, rules).step(12)
    trace = {
        "trace_id": "bad-11-0",
        "state": "ERROR",
        "request_time": utc(T0 + 11 * MINUTE),
        "execution_duration_ms": 1.0,
        "tags": [],
        "trace_metadata": [],
        "spans": [],
        "assessments": [],
    }
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(tmp_path / "traces"), pa.Table.from_pylist([trace], schema=schema))
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\n"
        "rules: [rules.yaml]\ngroup_by: [experiment]\n"
    )

    def answer(*arguments: str) -> Any:
        done = CliRunner().invoke(cli, [*arguments, "-c", str(config), "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    listed = {row["id"]: row for row in answer("rules", "list")["rules"]}
    assert listed["surge"]["kind"] == "surge"
    assert listed["surge"]["condition"] == "2 times the traffic of the 3 minutes before"
    assert answer("rules", "test")["tests"] == 1
    explained = answer("explain", "bad-11-0")
    assert [row["rule"] for row in explained["evidence_of"]] == ["surge"]
    assert {row["rule"]: (row["kind"], row["matched"]) for row in explained["rules"]} == {
        "failing": ("trace", True),
        "surge": ("surge", True),
    }
    assert [alert["rule"] for alert in answer("alerts", "list")["alerts"]] == ["surge"]

"""From windows to verdicts, evidence, notifications and messages, on a store without Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.made_facts import MINUTE, T0, batch, fact

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.outbox import Outbox
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.datasets.memberships import TagsAndMemberships

ALERT = {
    "id": "errors",
    "window": {"size": "2m", "by": ["experiment"]},
    "fire": "error_rate > 0.1",
    "severity": "critical",
    "evidence": {"tag": "error_case", "most": 2},
}
SLOW = {"id": "slow", "when": "execution_time_ms > 5000", "tag": "slow_response"}


def rule_set(**changes: Any) -> RuleSet:
    return build_rule_set([parse_rule({**ALERT, **changes}), parse_rule(SLOW)])


def states(store: Store) -> list[tuple[int, str]]:
    return [
        ((row["instant_us"] - T0) // MINUTE, row["state"])
        for row in net_verdicts(store.table("verdicts").read())
    ]


def outage(store: Store, number: int = 0) -> None:
    good = [fact(f"g{i}", 0) for i in range(10)]
    batch(
        store,
        number,
        [*good, *(fact(f"b{i}", 1, error=True) for i in range(5)), *(fact(f"h{i}", 4) for i in range(10))],
    )


def test_sem_15_verdicts_follow_windows_and_a_second_pass_writes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    verdicts = Verdicts(store, "s", 86_400_000_000)
    assert verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 6 * MINUTE) > 0
    assert states(store) == [(2, "firing"), (5, "inactive")]
    version = store.table("verdicts").version()
    assert verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 7 * MINUTE) == 0
    assert store.table("verdicts").version() == version


def test_sem_17_a_comma_in_a_key_of_by_is_a_part_of_the_key(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    keys = {"group_by": ["experiment", "tags.a,b"], "group": ["support", "x"]}
    batch(store, 0, [fact(f"b{i}", 1, error=True, **keys) for i in range(5)])
    rules = rule_set(window={"size": "2m", "by": ["tags.a,b"]})
    assert Verdicts(store, "s", 86_400_000_000).step(rules, T0 + 3 * MINUTE, T0 + 3 * MINUTE) > 0
    assert store.table("verdicts").read()["by"].to_list() == [["tags.a,b"]]
    rows = Notifications(store, Outbox(store), 3_600_000_000, ["alertmanager"], ["alert_log"]).step(
        rules, T0 + 3 * MINUTE
    )
    assert [(row["by"], row["group"]) for row in rows] == [(["tags.a,b"], ["x"])]
    assert rows[0]["evidence"] == ["b0", "b1"]
    message = Outbox(store).pending("alertmanager")[0]
    assert message.payload["group"] == {"tags_a_b": "x"}


def test_sem_15_a_late_trace_recomputes_the_verdicts_that_it_touches(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    verdicts = Verdicts(store, "s", 86_400_000_000)
    verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 6 * MINUTE)
    batch(store, 1, [fact(f"l{i}", 1) for i in range(100)])
    verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 7 * MINUTE)
    assert states(store) == []
    assert store.table("verdicts").read()["weight"].sum() == 0


def test_sem_15_a_firing_that_outlasts_the_time_of_revision_stays_one_episode(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    batch(store, 0, [fact(f"b{m}", m, error=True) for m in range(20)])
    verdicts = Verdicts(store, "s", 5 * MINUTE)
    for minute in (3, 8, 12, 20):
        verdicts.step(rule_set(), T0 + minute * MINUTE, T0 + minute * MINUTE)
        assert states(store) == [(1, "firing")]
    verdicts.step(rule_set(), T0 + 40 * MINUTE, T0 + 40 * MINUTE)
    assert [state for _, state in states(store)] == ["firing", "inactive"]


def test_sem_17_evidence_is_failed_traces_picked_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    verdicts = Verdicts(store, "s", 86_400_000_000)
    verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 6 * MINUTE)
    assert sorted(store.table("evidence").read()["trace_id"]) == ["b0", "b1"]
    batch(store, 1, [fact("a0", 1, error=True)])
    verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 7 * MINUTE)
    assert sorted(store.table("evidence").read()["trace_id"]) == ["b0", "b1"]


def notified(
    store: Store, now_us: int, *, rules: RuleSet | None = None, page: int = 3_600_000_000
) -> list[tuple[str, str, bool]]:
    follower = Notifications(store, Outbox(store), page, ["alertmanager"], ["alert_log"])
    return [
        (row["status"], row["reason"], row["paged"]) for row in follower.step(rules or rule_set(), now_us)
    ]


def test_sem_16_each_firing_and_resolution_is_notified_once_and_old_ones_page_nobody(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    verdicts = Verdicts(store, "s", 86_400_000_000)
    verdicts.step(rule_set(), T0 + 3 * MINUTE, T0 + 3 * MINUTE)
    assert notified(store, T0 + 3 * MINUTE) == [("firing", "crossed", True)]
    assert notified(store, T0 + 3 * MINUTE) == []
    verdicts.step(rule_set(), T0 + 6 * MINUTE, T0 + 6 * MINUTE)
    assert notified(store, T0 + 6 * MINUTE) == [("resolved", "cleared", True)]
    other = open_store(str(tmp_path / "other"))
    outage(other)
    Verdicts(other, "s", 86_400_000_000).step(rule_set(), T0 + 3 * MINUTE, T0 + 3 * MINUTE)
    assert notified(other, T0 + 180 * MINUTE) == [("firing", "crossed", False)]
    assert Outbox(other).counts().get("alertmanager", 0) == 0
    (line,) = Outbox(other).pending("alert_log")  # notified all the same, and marked as old
    assert line.payload["paged"] is False


def test_sem_18_an_edited_rule_that_still_fires_is_not_resolved_at_alertmanager(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    now = T0 + 3 * MINUTE
    Verdicts(store, "s", 86_400_000_000).step(rule_set(), now, now)
    notified(store, now)
    edited = rule_set(fire="error_rate > 0.2")
    Verdicts(store, "s", 86_400_000_000).step(edited, now, now + 1)
    assert {(status, reason) for status, reason, _ in notified(store, now + 1, rules=edited)} == {
        ("firing", "crossed"),
        ("resolved", "superseded"),
    }
    waiting = Outbox(store).pending("alertmanager")
    assert [(message.payload["status"], message.payload["condition"]) for message in waiting] == [
        ("firing", "error_rate > 0.2")
    ]
    seq = store.table("outbox").read().height
    notified(store, now + 2, rules=edited)
    assert store.table("outbox").read().height == seq


def test_sem_22_23_messages_name_tags_and_datasets_and_withdraw_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rules = rule_set()
    slow = rules.trace_rules[0]
    hit = [{"rule": "slow", "hash": slow.hash}]
    batch(store, 0, [fact("t1", 0, hits=hit), fact("t2", 0)])
    messages = TagsAndMemberships(store, Outbox(store), "s", ["mlflow_tags"], ["mlflow_datasets"])
    assert messages.step(rules, T0) == 2
    tags = Outbox(store).pending("mlflow_tags")
    assert [message.payload for message in tags] == [
        {
            "trace_id": "t1",
            "category": "slow_response",
            "rules": ["slow"],
            "categories": {"slow_response": ["slow"]},
        }
    ]
    records = Outbox(store).pending("mlflow_datasets")[0].payload
    assert records["categories"]["slow_response"]["rules"] == hit
    assert messages.step(rules, T0 + 1) == 0
    batch(store, 1, [fact("t1", 0, hits=hit, weight=-1), fact("t1", 0, content_hash=2)])
    assert messages.step(rules, T0 + 2) == 2
    assert Outbox(store).pending("mlflow_tags")[0].payload == {
        "trace_id": "t1",
        "category": None,
        "rules": [],
    }
    assert Outbox(store).pending("mlflow_datasets")[0].payload["categories"] == {}

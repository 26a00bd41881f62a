"""What followers make of edited, removed and reloaded rules, of silence, and of what was undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.made_facts import MINUTE, T0, batch, fact, put

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.units import DAY_US
from sinks.undo import withdrawals
from store import Store, open_store
from store.outbox import Ack, Outbox
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.datasets.memberships import TagsAndMemberships

DAYS = 2 * DAY_US
ALERT = {
    "id": "errors",
    "window": {"size": "2m", "by": ["experiment"]},
    "fire": "error_rate > 0.1",
    "evidence": {"tag": "error_case", "most": 2},
}
BAD = {"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"}


def rule_set(*extra: dict[str, Any], **changes: Any) -> RuleSet:
    return build_rule_set([parse_rule({**ALERT, **changes}), *(parse_rule(one) for one in extra)])


class Monitor:
    """The followers of one store, as a run steps them."""

    def __init__(self, store: Store, rules: RuleSet) -> None:
        self.store, self.rules = store, rules
        self.verdicts, self.outbox = Verdicts(store, "s", DAYS), Outbox(store)
        self.notifications = Notifications(
            store, self.outbox, 3_600_000_000, ["alertmanager"], ["alert_log"], self.verdicts.held_us
        )

    def step(self, minute: float) -> list[tuple[str, str]]:
        now = T0 + int(minute * MINUTE)
        self.verdicts.step(self.rules, now, now)
        rows = self.notifications.step(self.rules, now, self.verdicts.evaluated())
        return [(row["status"], row["reason"]) for row in rows]

    def waiting(self) -> list[tuple[str, str]]:
        """What waits for Alertmanager: status and condition."""
        return [
            (message.payload["status"], message.payload["condition"])
            for message in self.outbox.pending("alertmanager")
        ]

    def deliver(self) -> None:
        self.outbox.ack([Ack(message, "delivered") for message in self.outbox.pending("alertmanager")], 1)


def failing(tmp_path: Path, rules: RuleSet) -> Monitor:
    """A monitor whose alert fires at minute 1 and has been delivered."""
    store = open_store(str(tmp_path))
    put(store, rules, 1)
    batch(store, 0, [fact(f"b{i}", 0, error=True) for i in range(5)], rules)
    monitor = Monitor(store, rules)
    assert monitor.step(1) == [("firing", "crossed")]
    monitor.deliver()
    return monitor


def states(store: Store) -> list[tuple[str, int, str]]:
    rows = net_verdicts(store.table("verdicts").read())
    return [(row["rule"], (row["instant_us"] - T0) // MINUTE, row["state"]) for row in rows]


def edit(monitor: Monitor, rules: RuleSet, loaded_us: int) -> None:
    monitor.rules = rules
    put(monitor.store, rules, loaded_us)


def test_sem_18_an_edited_rule_that_fires_at_its_first_evaluation_never_resolves_at_alertmanager(
    tmp_path: Path,
) -> None:
    monitor = failing(tmp_path, rule_set())
    edit(monitor, rule_set(fire="error_rate > 0.2"), 2)
    assert monitor.step(1.5) == [("resolved", "superseded")]
    assert monitor.waiting() == []  # the new version has not been evaluated yet
    assert list(monitor.notifications.firing()) != []
    batch(monitor.store, 1, [fact("c", 1, error=True)], monitor.rules)
    assert monitor.step(2) == [("firing", "crossed")]
    assert monitor.waiting() == [("firing", "error_rate > 0.2")]
    assert ("errors", 1, "superseded") in states(monitor.store)


def test_sem_18_an_edited_rule_that_does_not_fire_at_its_first_evaluation_resolves(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    edit(monitor, rule_set(fire="error_rate > 0.99", min_traces=50), 2)
    monitor.step(1.5)
    assert monitor.waiting() == []
    batch(monitor.store, 1, [fact("c", 1, error=True)], monitor.rules)
    assert monitor.step(2) == []
    assert monitor.waiting() == [("resolved", "error_rate > 0.1")]


def test_sem_18_an_edit_that_no_batch_ever_loads_resolves_after_twice_the_window(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    edit(monitor, rule_set(fire="error_rate > 0.2"), 2)
    monitor.step(1.5)
    monitor = Monitor(monitor.store, monitor.rules)  # also across a restart
    monitor.step(4)
    assert monitor.waiting() == []
    monitor.step(6)
    assert monitor.waiting() == [("resolved", "error_rate > 0.1")]


def test_sem_18_a_removed_rule_resolves_at_once_and_a_restored_one_goes_on(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    first = monitor.rules
    edit(monitor, build_rule_set([parse_rule(BAD)]), 2)
    assert monitor.step(1.5) == [("resolved", "superseded")]
    assert monitor.waiting() == [("resolved", "error_rate > 0.1")]
    edit(monitor, first, 3)
    batch(monitor.store, 1, [fact("c", 1, error=True)], monitor.rules)
    assert monitor.step(2) == [("firing", "crossed")]
    assert monitor.waiting() == [("firing", "error_rate > 0.1")]
    assert states(monitor.store) == [("errors", 1, "firing")]


def test_sem_18_other_keys_end_the_groups_that_can_no_longer_occur(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    edit(monitor, rule_set(window={"size": "2m", "by": []}), 2)
    assert monitor.step(1.5) == [("resolved", "regrouped")]
    assert monitor.waiting() == [("resolved", "error_rate > 0.1")]
    batch(monitor.store, 1, [fact("c", 1, error=True, group_by=["model"], group=["m"])], monitor.rules)
    assert monitor.step(2) == [("firing", "crossed")]


def test_sem_07_a_rules_history_begins_with_the_batch_that_loaded_it(tmp_path: Path) -> None:
    store, old = open_store(str(tmp_path)), rule_set()
    put(store, old, 1)
    batch(store, 0, [fact(f"b{m}", m, error=True) for m in range(10)], old)
    new = build_rule_set([parse_rule(ALERT), parse_rule({**ALERT, "id": "young", "fire": "errors > 0"})])
    monitor = Monitor(store, old)
    monitor.step(10)
    edit(monitor, new, 2)
    monitor.step(10.5)
    assert {rule for rule, _, _ in states(store)} == {"errors"}
    batch(store, 1, [fact("c", 10, error=True)], new)
    for follower in (monitor, Monitor(store, new)):
        follower.step(11)
        assert states(store) == [("errors", 1, "firing"), ("young", 11, "firing")]


def test_sem_15_silence_resolves_for_no_data_and_recovery_clears(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    assert monitor.step(5) == []
    assert monitor.step(6) == [("resolved", "no_data")]
    resolved = monitor.store.table("notifications").read().filter(status="resolved")
    assert resolved["instant_us"].to_list() == [
        T0 + 6 * MINUTE
    ]  # the last data is at 2, and twice the window has passed
    batch(
        monitor.store, 1, [fact("c", 10, error=True), *(fact(f"g{i}", 14) for i in range(3))], monitor.rules
    )
    assert monitor.step(11) == [("firing", "crossed")]
    assert monitor.step(15) == [("resolved", "cleared")]


def test_sem_15_an_episode_that_is_revised_away_and_comes_back_is_notified_each_time(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    batch(monitor.store, 1, [fact(f"g{i}", 0) for i in range(100)], monitor.rules)
    assert monitor.step(1.5) == [("resolved", "revised")]
    batch(monitor.store, 2, [fact(f"g{i}", 0, weight=-1) for i in range(100)], monitor.rules)
    assert monitor.step(1.7) == [("firing", "crossed")]


def test_sem_16_what_began_long_ago_and_goes_on_pages_and_what_is_over_does_not(tmp_path: Path) -> None:
    store, rules = open_store(str(tmp_path)), rule_set()
    batch(store, 0, [fact(f"b{m}", m, error=True) for m in range(180)], rules)
    monitor = Monitor(store, rules)
    monitor.step(180)
    assert [message.payload["starts_us"] for message in monitor.outbox.pending("alertmanager")] == [
        T0 + MINUTE
    ]


def test_sem_11_a_trace_dated_in_the_future_gives_no_verdict_until_its_minute(tmp_path: Path) -> None:
    monitor = failing(tmp_path, rule_set())
    batch(monitor.store, 1, [fact("c", 30, error=True, group=["other"])], monitor.rules)
    assert monitor.step(4) == []
    monitor = Monitor(monitor.store, monitor.rules)
    assert monitor.step(30) == [("resolved", "no_data")]
    assert monitor.step(31) == [("firing", "crossed")]


def test_sem_10_verdicts_older_than_they_are_revised_are_final(tmp_path: Path) -> None:
    store, rules = open_store(str(tmp_path)), rule_set()
    batch(store, 0, [fact("b", 0, error=True), *(fact(f"g{m}", m) for m in range(5, 40))], rules)
    for fresh in (True, False):
        verdicts = Verdicts(store, "s", 20 * MINUTE)
        verdicts.step(rules, T0 + 10 * MINUTE, T0 + 10 * MINUTE)
        before = states(store)
        if fresh:
            verdicts = Verdicts(store, "s", 20 * MINUTE)
        verdicts.step(rules, T0 + 40 * MINUTE, T0 + 40 * MINUTE)
        batch(store, 1 + fresh, [fact(f"l{fresh}{i}", 0) for i in range(100)], rules)
        batch(store, 3 + fresh, [fact(f"m{fresh}{i}", 30, error=True) for i in range(100)], rules)
        verdicts.step(rules, T0 + 40 * MINUTE, T0 + 41 * MINUTE)
        assert before[:2] == states(store)[:2] == [("errors", 1, "firing"), ("errors", 6, "inactive")]
        assert ("errors", 31, "firing") in states(store)


def test_sem_22_undo_sticks_until_a_trace_is_amended_or_an_episode_is_new(tmp_path: Path) -> None:
    store, rules = open_store(str(tmp_path)), rule_set(BAD)
    hit = [{"rule": "bad", "hash": rules.trace_rules[0].hash}]
    batch(store, 0, [fact(f"b{i}", 0, error=True, hits=hit if i else []) for i in range(2)], rules)

    def run(minute: int) -> dict[str, list[str]]:
        """A run of its own, which delivers what it enqueues: rules by trace."""
        outbox = Outbox(store)
        Verdicts(store, "s", DAYS).step(rules, T0 + minute * MINUTE, T0 + minute * MINUTE)
        TagsAndMemberships(store, outbox, "s", ["mlflow_tags"]).step(rules, T0 + minute * MINUTE)
        found = {message.target: message.payload["rules"] for message in outbox.pending("mlflow_tags")}
        outbox.ack([Ack(message, "delivered") for message in outbox.pending("mlflow_tags")], 1)
        return found

    assert run(1) == {"b0": ["errors"], "b1": ["bad", "errors"]}
    assert run(1) == {}
    Outbox(store).enqueue(withdrawals(store), 2)
    assert run(2) == {"b0": [], "b1": []}
    assert run(2) == {}
    assert run(9) == {}  # the alert is over, its evidence gets no message again
    batch(
        store,
        1,
        [fact("b1", 0, error=True, hits=hit, weight=-1), fact("b1", 0, error=True, hits=hit, content_hash=2)],
        rules,
    )
    assert run(9) == {"b1": ["bad", "errors"]}
    batch(store, 2, [fact("b9", 20, error=True)], rules)
    assert run(21) == {"b9": ["errors"]}

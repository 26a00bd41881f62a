"""What is notified of an alert: the value that ended it, a dry run that pages nobody, and too few traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.made_facts import MINUTE, T0, batch, fact

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from sinks.alert_log import line
from store import Store, open_store
from store.outbox import Outbox
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts

DAY_US = 86_400_000_000
ALERT = {"id": "errors", "window": {"size": "2m"}, "fire": "error_rate > 0.1", "severity": "critical"}


def rules(**changes: Any) -> RuleSet:
    return build_rule_set([parse_rule({**ALERT, **changes})])


def notified(store: Store, rule_set: RuleSet, minute: int, *, dry_run: bool = False) -> list[dict[str, Any]]:
    now_us = T0 + minute * MINUTE
    verdicts = Verdicts(store, "s", DAY_US)
    verdicts.step(rule_set, now_us, now_us)
    follower = Notifications(
        store, Outbox(store), 3_600_000_000, ["alertmanager"], [], verdicts.held_us, dry_run
    )
    return follower.step(rule_set, now_us)


def outage(store: Store) -> None:
    batch(store, 0, [fact(f"b{i}", 1, error=True) for i in range(5)])


def test_the_end_of_an_alert_is_told_with_the_value_that_ended_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    (firing,) = notified(store, rules(), 2)
    assert (firing["value"], firing["summary"]) == (1.0, "error_rate > 0.1 is met with 1 over 5 traces")
    batch(store, 1, [fact(f"g{i}", 4) for i in range(20)])
    (end,) = notified(store, rules(), 6)
    assert (end["status"], end["reason"], end["value"], end["traces"]) == ("resolved", "cleared", 0.0, 20)
    assert end["summary"] == "error_rate > 0.1 is over: 0 over 20 traces"


def test_an_alert_that_ends_for_want_of_traces_says_so(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    notified(store, rules(), 2)
    (end,) = notified(store, rules(), 20)
    assert (end["reason"], end["summary"]) == (
        "no_data",
        "error_rate > 0.1 is over: there are no traces any more",
    )


def test_sem_16_a_dry_run_pages_nobody_and_the_next_run_pages_what_still_fires(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    (dry,) = notified(store, rules(), 2, dry_run=True)
    assert (dry["paged"], dry["reason"]) == (False, "dry_run")
    assert store.table("outbox").read().is_empty()
    assert notified(store, rules(), 2, dry_run=True) == []
    (real,) = notified(store, rules(), 3)
    assert (real["paged"], real["status"]) == (True, "firing")
    assert store.table("outbox").read()["sink"].to_list() == ["alertmanager"]
    assert notified(store, rules(), 3) == []


def test_sem_16_what_a_dry_run_saw_begin_and_end_is_never_sent(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    outage(store)
    notified(store, rules(), 2, dry_run=True)
    batch(store, 1, [fact(f"g{i}", 4) for i in range(20)])
    (end,) = notified(store, rules(), 6)
    assert (end["status"], end["paged"]) == ("resolved", False)
    assert store.table("outbox").read().is_empty()


def test_sem_15_too_few_traces_hold_an_alert_that_has_a_clear(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rule_set = rules(clear="error_rate < 0.02", min_traces=5)
    outage(store)
    assert [row["status"] for row in notified(store, rule_set, 2)] == ["firing"]
    batch(store, 1, [fact(f"g{i}", 4) for i in range(3)])
    assert notified(store, rule_set, 6) == []
    batch(store, 2, [fact(f"h{i}", 6) for i in range(5)])
    (end,) = notified(store, rule_set, 8)
    assert (end["reason"], end["traces"]) == ("cleared", 5)


def test_a_rule_without_groups_leaves_no_gap_in_its_line() -> None:
    payload = {
        "status": "firing",
        "rule": "cost-burn",
        "severity": "warning",
        "group": {},
        "summary": "it burns",
        "evidence": [],
        "paged": False,
        "dry_run": True,
    }
    assert line(payload) == "FIRING cost-burn (warning): it burns (a dry run pages nobody)"

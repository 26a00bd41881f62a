"""What followers make of rules applied to the past: histories, pages, messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.applied_rules import AFTER, BEFORE, BEGIN_US, MINUTE, STREAM, Source, payloads, rules, traces
from support.delta_cases import NOW_US, follow, messages, verdicts

from store.outbox import Outbox, OutboxMessage
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts

RATE = {"id": "rate", "window": {"size": "3m", "by": ["experiment"]}, "fire": "traces > 2"}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Forty traces of half an hour, counted with other rules than those in force."""
    found = Source(tmp_path)
    found.put(rules(BEFORE))
    found.batch(0, traces(1, 40))
    follow(found.store, STREAM, rules(BEFORE))
    found.put(rules(AFTER))
    return found


def known(source: Source, rule_id: str) -> list[int]:
    """The instants of the verdicts of a rule."""
    return [row[2] for row in verdicts(source.store) if row[0] == rule_id]


def test_sem_32_the_history_of_a_rule_that_counts_every_trace_begins_with_the_range(source: Source) -> None:
    after = rules([RATE])
    source.put(after)
    follow(source.store, STREAM, after)
    assert known(source, "rate") == []
    middle = BEGIN_US + 15 * MINUTE
    source.apply(source.ask(from_us=middle))
    follow(source.store, STREAM, after)
    assert known(source, "rate")
    assert min(known(source, "rate")) > middle
    source.apply(source.ask("r2"))
    follow(source.store, STREAM, after)
    assert min(known(source, "rate")) < middle


def test_sem_32_a_range_that_ends_before_the_history_moves_nothing(source: Source) -> None:
    slow = {"id": "slow-ones", "where": "execution_time_ms > 5", **{k: RATE[k] for k in ("window", "fire")}}
    after, late = rules([slow]), traces(2, 8)
    source.put(after)
    source.batch(
        1, [{**row, "trace_id": f"x{row['trace_id']}", "start_us": NOW_US - 9 * MINUTE} for row in late]
    )
    follow(source.store, STREAM, after)
    before = known(source, "slow-ones")
    source.apply(source.ask(to_us=BEGIN_US + 15 * MINUTE))
    follow(source.store, STREAM, after)
    assert known(source, "slow-ones") == before
    source.apply(source.ask("r2"))
    follow(source.store, STREAM, after)
    assert before
    assert min(known(source, "slow-ones")) < min(before)


def paged(source: Source, rule_set: Any, now_us: int, verdicts_: Verdicts) -> list[tuple[str, bool]]:
    """One pass of verdicts and notifications up to now; what is new of firing alerts."""
    verdicts_.step(rule_set, now_us, now_us)
    notifications = Notifications(
        source.store,
        Outbox(source.store),
        60 * MINUTE,
        ["am"],
        [],
        verdicts_.held_us,
        quiet_us=verdicts_.quiet_us,
    )
    new = notifications.step(rule_set, now_us)
    return [(row["group"][0], row["paged"]) for row in new if row["status"] == "firing"]


def alerts(source: Source) -> list[str]:
    """The alerts that receivers were sent."""
    return [one["status"] for one in payloads(source.store) if "status" in one]


def test_sem_32_an_alert_that_comes_of_the_past_pages_once_it_still_holds_after_that(source: Source) -> None:
    after = rules([{**RATE, "window": {"size": "5m", "by": ["experiment"]}}])
    source.put(after)
    recent = [
        {**row, "trace_id": f"x{row['trace_id']}", "start_us": NOW_US - 2 * MINUTE, "group": ["a"]}
        for row in traces(2, 8)
    ]
    source.put(rules(BEFORE))
    source.batch(1, recent)
    source.put(after)
    source.apply(source.ask(to_us=NOW_US + 1))
    followed = Verdicts(source.store, STREAM, 2 * 86_400_000_000)
    assert paged(source, after, NOW_US, followed) == [("a", False)]
    assert paged(source, after, NOW_US, followed) == []
    assert alerts(source) == []
    assert paged(source, after, NOW_US + MINUTE, followed) == [("a", True)]  # the condition holds after it
    assert alerts(source) == ["firing"]
    assert paged(source, after, NOW_US + 2 * MINUTE, followed) == []


def test_sem_22_31_what_undo_took_back_comes_back_and_nothing_else_is_sent(source: Source) -> None:
    after = rules(AFTER)
    source.apply(source.ask())
    follow(source.store, STREAM, after)
    there = messages(source.store)
    assert there
    outbox = Outbox(source.store)
    taken = [OutboxMessage(sink, target, {"trace_id": target, "undone": True}) for sink, target in there]
    outbox.enqueue(taken, NOW_US)
    follow(source.store, STREAM, after)
    assert messages(source.store) == {}
    source.apply(source.ask("only", rules=("bad",)))
    follow(source.store, STREAM, after)
    bad = {key for key, one in there.items() if "bad" in str(one)}
    assert messages(source.store) == {key: one for key, one in there.items() if key in bad}
    source.apply(source.ask("r2"))
    follow(source.store, STREAM, after)
    assert messages(source.store) == there
    sent = len(payloads(source.store))
    source.apply(source.ask("r3"))
    follow(source.store, STREAM, after)
    assert len(payloads(source.store)) == sent


def test_sem_31_a_request_begins_anew_when_other_rules_come_into_force(source: Source) -> None:
    worker, request = source.worker(piece=10), source.ask()
    worker.step(request)
    changed = rules([*AFTER, {"id": "all", "when": "execution_time_ms > 5", "tag": "any"}])
    source.put(changed)
    while worker.log.open():
        worker.step(request)
    pieces = worker.log.standing("r1")
    assert sum(one.traces for one in pieces) == 40
    assert {one.rule_set_hash for one in pieces} == {changed.hash}
    assert len(worker.log.whole("r1")) == len(pieces) + 1
    both = {key: sum(one.rules.get(key, {}).get("after", 0) for one in pieces) for key in ("all", "slow")}
    assert both["all"] == both["slow"] > 0

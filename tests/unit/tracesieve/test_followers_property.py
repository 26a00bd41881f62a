"""Followers over random arrivals, amendments, restarts and failing writes: the same verdicts as one fold over
everything.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from support.made_facts import MINUTE, T0, batch, fact

from rules.alerting.sums import Window
from rules.alerting.verdicts import Verdict, history
from rules.alerting.windows import GivenWindows
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.units import DAY_US
from store import Store, net_facts, open_store
from store.outbox import Outbox
from store.table import Table
from tracesieve.alerts.episodes import Group
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.datasets.memberships import TagsAndMemberships

PACK = build_rule_set(
    [
        parse_rule(
            {
                "id": "errors",
                "window": {"size": "3m", "by": ["experiment"]},
                "fire": "error_rate > 0.4",
                "min_traces": 2,
                "evidence": {"tag": "error_case", "most": 2},
            }
        ),
        parse_rule(
            {
                "id": "slow",
                "window": {"size": "2m", "by": []},
                "fire": "p95_ms > 5",
                "for": "1m",
                "clear": "p95_ms < 3",
                "evidence": {"tag": "slow_response", "most": 3},
            }
        ),
        parse_rule(
            {
                "id": "kept",
                "where": "status = 'ERROR'",
                "window": {"size": "4m", "every": "2m"},
                "fire": "traces > 2",
                "keep_firing_for": "3m",
            }
        ),
        parse_rule({"id": "tool", "when": "execution_time_ms > 6", "tag": "edge_case"}),
    ]
)
LAST = 24
DAYS = 2 * DAY_US


def hits(error: bool, ms: int) -> list[dict[str, str]]:
    kept, tool = PACK.alert_rules[2], PACK.trace_rules[0]
    found = [{"rule": "kept", "hash": kept.hash}] if error else []
    return found + ([{"rule": "tool", "hash": tool.hash}] if ms > 6 else [])


def some_trace(pick: random.Random, number: int, minute: int) -> dict[str, Any]:
    error, ms, experiment = pick.random() < 0.4, pick.choice([1, 4, 7, 20]), pick.choice(["a", "b"])
    return fact(
        f"t{number}",
        minute,
        error=error,
        group=[experiment],
        experiment=experiment,
        duration_us=ms * 1000,
        content_hash=pick.getrandbits(40),
        hits=hits(error, ms),
    )


class Script:
    """A random story: batches with late traces, amendments and withdrawals, and how far verdicts go after
    each.
    """

    def __init__(self, seed: int) -> None:
        pick, number, standing = random.Random(seed), 0, {}
        self.batches: list[list[dict[str, Any]]] = []
        self.through: list[int] = []
        now = 0
        while now < LAST:
            rows: dict[str, list[dict[str, Any]]] = {}
            for _ in range(pick.choice([0, 1, 5, 12])):
                minute = pick.choice([now, now, max(now - 1, 0), pick.randrange(LAST + 5)])
                if pick.random() < 0.25 and standing:
                    old = pick.choice(sorted(standing))
                    if old in rows:
                        continue
                    rows[old] = [{**standing.pop(old), "weight": -1}]
                    if pick.random() < 0.7:
                        standing[old] = {**some_trace(pick, 0, minute), "trace_id": old}
                        rows[old].append(standing[old])
                else:
                    made = some_trace(pick, number, minute)
                    number += 1
                    standing[made["trace_id"]] = made
                    rows[made["trace_id"]] = [made]
            self.batches.append([row for of_trace in rows.values() for row in of_trace])
            now += pick.choice([0, 1, 2, 4])
            self.through.append(T0 + min(now, LAST) * MINUTE)


def oracle(store: Store, rule_set: RuleSet) -> set[tuple[Any, ...]]:
    """Every change of every history from the standing facts alone, each window summed up trace by trace."""
    facts = net_facts(store.table("facts").read()).to_dicts()
    found = set()
    for rule in rule_set.alert_rules:
        groups: dict[Group, list[dict[str, Any]]] = defaultdict(list)
        for row in facts:
            if rule.per_trace is None or rule.hash in [hit["hash"] for hit in row["hits"]]:
                groups[tuple(row["group"][:1] if rule.by else [])].append(row)
        grid = range((T0 // rule.every_us - 5) * rule.every_us, T0 + LAST * MINUTE + 1, rule.every_us)
        for group, rows in groups.items():
            windows = {}
            for instant in grid:
                inside = [
                    row
                    for row in rows
                    if instant - rule.lookback_us <= row["end_us"] // MINUTE * MINUTE < instant
                ]
                if inside:
                    windows[instant] = Window(
                        len(inside), sum(row["error"] for row in inside), counts(inside)
                    )
            for change in history(rule, GivenWindows(windows), grid):
                found.add(
                    (
                        rule.id,
                        group,
                        change.instant_us,
                        change.state.phase,
                        change.state.since_us,
                        *measured(change),
                    )
                )
    return found


def measured(change: Verdict) -> tuple[Any, ...]:
    return change.value, change.traces, change.errors


def counts(rows: list[dict[str, Any]]) -> dict[int, int]:
    import numpy as np

    from rules.alerting.histogram import bucket_index

    index, number = np.unique(
        bucket_index(np.array([row["duration_us"] for row in rows])), return_counts=True
    )
    return dict(zip(index.tolist(), number.tolist(), strict=True))


def standing(store: Store) -> set[tuple[Any, ...]]:
    rows = net_verdicts(store.table("verdicts").read())
    names = ("instant_us", "state", "since_us", "value", "traces", "errors")
    return {(row["rule"], tuple(row["group"]), *(row[name] for name in names)) for row in rows}


class Followers:
    """The three followers in their order, as a run has them."""

    def __init__(self, store: Store) -> None:
        self.verdicts, self.outbox = Verdicts(store, "s", DAYS), Outbox(store)
        self.notifications = Notifications(
            store, self.outbox, 3_600_000_000, ["alertmanager"], ["alert_log"], self.verdicts.held_us
        )
        self.messages = TagsAndMemberships(store, self.outbox, "s", ["mlflow_tags"], ["mlflow_datasets"])

    def step(self, through: int, number: int) -> None:
        now = through + 1_000_000 + number  # no two passes are at the same time
        self.verdicts.step(PACK, through, now)
        self.notifications.step(PACK, now, self.verdicts.evaluated())
        self.messages.step(PACK, now)


@pytest.mark.parametrize("seed", range(4))
def test_sem_15_28_random_arrivals_and_restarts_end_as_one_fold(seed: int, tmp_path: Path) -> None:
    script, store, pick = Script(seed), open_store(str(tmp_path)), random.Random(-seed - 1)
    followers = Followers(store)
    for number, (rows, through) in enumerate(zip(script.batches, script.through, strict=True)):
        batch(store, number, rows, PACK)
        if pick.random() < 0.2:
            followers = Followers(store)
        followers.step(through, number)
    assert standing(store) == oracle(store, PACK)
    assert len(standing(store)) > 5
    before = {name: table.version() for name, table in store.tables().items()}
    Followers(store).step(script.through[-1], 999)
    assert {name: table.version() for name, table in store.tables().items()} == before
    whole = open_store(str(tmp_path / "whole"))
    for number, rows in enumerate(script.batches):
        batch(whole, number, rows, PACK)
    Followers(whole).step(script.through[-1], 999)
    assert standing(whole) == standing(store)


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


def run_story(script: Script, store: Store, kill_at: int | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Play the story; at the ``kill_at``-th write the process dies, before or after the commit, and a new one
    goes on.
    """
    writes, killed = 0, False
    commit = Table._commit

    def counted(table: Table, *arguments: Any, **named: Any) -> None:
        nonlocal writes, killed
        if table.spec.writer in ("batch",):
            return commit(table, *arguments, **named)
        writes += 1
        if kill_at is not None and not killed and writes == (kill_at + 1) // 2:
            killed = True
            if kill_at % 2:
                raise Killed
            commit(table, *arguments, **named)
            raise Killed
        return commit(table, *arguments, **named)

    monkeypatch.setattr(Table, "_commit", counted)
    followers = Followers(store)
    for number, (rows, through) in enumerate(zip(script.batches, script.through, strict=True)):
        batch(store, number, rows, PACK)
        try:
            followers.step(through, number)
        except Killed:
            followers = Followers(store)
            followers.step(through, number)
    monkeypatch.undo()
    return writes


def what_followed(store: Store) -> dict[str, Any]:
    notified = store.table("notifications").read().sort("notified_us", "key")
    outbox = store.table("outbox").read().sort("seq")
    return {
        "verdicts": standing(store),
        "evidence": sorted(store.table("evidence").read(["episode", "trace_id", "rank"]).rows()),
        "notified": notified.select("episode", "status", "reason", "notified_us", "paged").rows(),
        "enqueued": sorted(outbox.select("sink", "target", "payload", "created_us").rows()),
    }


def test_sem_19_a_kill_at_any_write_and_a_repeat_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(3)
    script.batches, script.through = script.batches[:7], script.through[:7]
    store = open_store(str(tmp_path / "whole"))
    writes = run_story(script, store, None, monkeypatch)
    expected = what_followed(store)
    assert expected["evidence"]
    assert writes > 12
    for kill_at in range(1, 2 * writes + 1, 3):
        cut = open_store(str(tmp_path / f"cut{kill_at}"))
        run_story(script, cut, kill_at, monkeypatch)
        assert what_followed(cut) == expected, kill_at

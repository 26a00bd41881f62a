"""Rules applied to the past: in any pieces, killed between any two writes: as if always there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.applied_rules import AFTER, BEFORE, STREAM, Source, rules, traces
from support.delta_cases import follow, follower, messages, result, verdicts

from rules.rule_set import RuleSet
from store import Store
from store.table import Table


class Killed(Exception):
    """As if the process had ended here."""


@contextmanager
def killed_at(pick: random.Random, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Some commits from here the process ends, before the commit or after it."""
    left, after, commit = pick.randrange(1, 9), pick.random() < 0.5, Table._commit

    def counted(self: Table, *args: Any) -> None:
        nonlocal left
        left -= 1
        if left > 0 or after:
            commit(self, *args)
        if left <= 0:
            raise Killed

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Table, "_commit", counted)
        yield


def of_rules(found: list[tuple[Any, ...]], rule_set: RuleSet) -> list[tuple[Any, ...]]:
    """Verdicts of the rules that are in force."""
    return [row for row in found if row[1] in {rule.hash for rule in rule_set.alert_rules}]


def batches_of(seed: int) -> list[list[dict[str, Any]]]:
    made = traces(seed, 60)
    parts = [made[at : at + 15] for at in range(0, 60, 15)]
    landed_us = made[-1]["landed_us"] + 1
    parts[3].append(
        {**made[3], "content_hash": 1, "change_us": 100, "state": "ERROR", "landed_us": landed_us}
    )
    return parts


def had_them_first(path: Path, parts: list[list[dict[str, Any]]]) -> Store:
    source = Source(path)
    source.put(rules(AFTER))
    for number, rows in enumerate(parts):
        source.batch(number, rows)
    follow(source.store, STREAM, rules(AFTER))
    return source.store


@pytest.mark.parametrize("seed", range(6))
def test_sem_28_31_applied_in_pieces_and_killed_as_if_the_rules_had_been_there_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    pick, before, after, parts = random.Random(seed), rules(BEFORE), rules(AFTER), batches_of(seed)
    whole = had_them_first(tmp_path / "whole", parts)
    source = Source(tmp_path / "changed")
    source.put(before)
    source.batch(0, parts[0])
    if pick.random() < 0.7:
        follow(source.store, STREAM, before)
    source.batch(1, parts[1])
    source.put(after)
    if pick.random() < 0.5:
        source.batch(2, parts[2])
    step = follower(source.store, STREAM, after)
    for _ in range(8):
        with killed_at(pick, monkeypatch):
            source.apply(source.ask(), pick.choice([1, 7, 20]))
            step()
        if pick.random() < 0.5:
            step = follower(source.store, STREAM, after)
        with killed_at(pick, monkeypatch):
            step()
    for number in (2, 3):
        source.batch(number, parts[number])
    source.apply(source.ask(), 7)
    step()

    assert result(source.store) == result(whole)
    assert verdicts(whole)
    assert of_rules(verdicts(source.store), after) == verdicts(whole)
    assert messages(source.store) == messages(whole)
    versions = {name: table.version() for name, table in source.store.tables().items()}
    follow(source.store, STREAM, after)
    assert {name: table.version() for name, table in source.store.tables().items()} == versions

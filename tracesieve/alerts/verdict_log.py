"""The verdicts that stand, out of the changelog ``verdicts``: by rule and group, in the order of their
instants.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from store import Store
from store.tail import Tail
from tracesieve.alerts.episodes import RuleGroup

_IDENTITY = ("rule", "rule_hash", "instant_us", "state", "since_us", "value", "traces", "errors")
Row = dict[str, Any]


def identity(row: Row) -> tuple[Any, ...]:
    """What makes two rows the same verdict: a late trace that changes only what was measured makes another
    one.
    """
    return (*(row[name] for name in _IDENTITY), tuple(row["by"]), tuple(row["group"]))


def net_verdicts(rows: pl.DataFrame) -> list[Row]:
    """The rows of the changelog that stand, oldest first."""
    log = _Net()
    log.add(rows)
    return sorted((row for key in log.by_key for row in log.rows(key)), key=lambda row: row["instant_us"])


class _Net:
    def __init__(self) -> None:
        self.by_key: dict[RuleGroup, dict[tuple[Any, ...], list[Any]]] = {}

    def add(self, rows: pl.DataFrame) -> set[RuleGroup]:
        changed = set()
        for row in rows.iter_rows(named=True):
            key = row["rule_hash"], tuple(row["group"])
            entry = self.by_key.setdefault(key, {}).setdefault(identity(row), [0, row])
            entry[0] += row["weight"]
            if row["weight"] > 0:
                entry[1] = row
            if not entry[0]:
                del self.by_key[key][identity(row)]
            changed.add(key)
        return changed

    def rows(self, key: RuleGroup) -> list[Row]:
        found = (row for weight, row in self.by_key.get(key, {}).values() if weight > 0)
        return sorted(found, key=lambda row: row["instant_us"])


class VerdictLog:
    """The standing verdicts of a store, followed."""

    def __init__(self, store: Store) -> None:
        table = store.table("verdicts")
        while True:  # weights add up: what is read must end where the tail begins
            self._tail, rows = Tail(table), table.read()
            if table.version() == self._tail.version:
                break
        self._net = _Net()
        self._first: set[RuleGroup] | None = self._net.add(rows)

    def follow(self) -> set[RuleGroup]:
        """The rules and groups whose verdicts changed since the last call; all of them the first time.

        Raises:
            TailLost: make a new one.
        """
        changed = self._first or set()
        self._first = None
        for commit in self._tail.poll():
            changed |= self._net.add(commit.rows)
        return changed

    def known(self) -> list[RuleGroup]:
        """Every rule and group that has a verdict."""
        return [key for key, rows in self._net.by_key.items() if rows]

    def rows(self, key: RuleGroup) -> list[Row]:
        """What stands of one rule and group, oldest first."""
        return self._net.rows(key)

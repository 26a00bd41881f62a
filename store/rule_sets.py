"""The rule sets of a store: the one in force, and every one before it.

The table ``rule_sets`` gets a row whenever other rules, or other grouping keys, come into force; its last row
is the set in force.  A batch records the hash of the set that it worked with, so that an old batch can be
finished with the rules that it was begun with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.rule_set import Rule, RuleSet, stored_rule
from store.store import Store


@dataclass(frozen=True)
class InForce:
    """The set in force: its rules, the hash under which it stands in the store, and the grouping keys."""

    rules: RuleSet
    hash: str
    group_by: tuple[str, ...]


class RuleSets:
    """Reads, writes and parses the rule sets of one store; each text is parsed once. Use it from one
    thread.
    """

    def __init__(self, store: Store) -> None:
        self._table = store.table("rule_sets")
        self._parsed: dict[str, RuleSet] = {}
        self._in_force: InForce | None = None
        self._read_at = -1  # the table's version when ``_in_force`` was read

    def put(self, rules: RuleSet, group_by: Sequence[str], now_us: int) -> bool:
        """Bring a set into force; False, and nothing is written, where it is in force already.

        Raises:
            StoreUnwritable: the place cannot be written; the former set stays in force.
        """
        present = self.in_force()
        if present is not None and (present.hash, present.group_by) == (rules.hash, tuple(group_by)):
            return False
        row = {
            "rule_set_hash": rules.hash,
            "loaded_us": now_us,
            "group_by": list(group_by),
            "rule_set": rules.to_json(),
        }
        self._table.append([row])
        return True

    def in_force(self) -> InForce | None:
        """The set in force, None before the first; the table is read only when it has changed."""
        version = self._table.version()
        if version != self._read_at:
            rows = self._table.read().sort("loaded_us", maintain_order=True)
            self._in_force = self._of(rows.row(-1, named=True)) if rows.height else None
            self._read_at = version
        return self._in_force

    def of_hash(self, rule_set_hash: str) -> RuleSet | None:
        """The rules of a set that is or was in force, None where the store does not know it."""
        if rule_set_hash not in self._parsed:
            rows = self._table.read(["rule_set"], pl.col("rule_set_hash") == rule_set_hash)
            if rows.is_empty():
                return None
            self._parsed[rule_set_hash] = RuleSet.from_json(rows["rule_set"][-1])
        return self._parsed[rule_set_hash]

    def holding(self, rules: Iterable[Rule]) -> dict[str, set[str]]:
        """For each of these rules (by hash) the sets (hashes) that were ever in force and hold it."""
        wanted = {rule.id: rule.hash for rule in rules}
        found: dict[str, set[str]] = {rule_hash: set() for rule_hash in wanted.values()}
        built: dict[str, str] = {}  # the hash of each rule by its text, so that each is compiled once
        for rule_set_hash, items in self._texts():
            for item in items:
                if item.get("id") not in wanted:
                    continue
                text = json.dumps(item, sort_keys=True)
                if text not in built:
                    rule = stored_rule(item)
                    built[text] = rule.hash if rule is not None else ""
                if built[text] == wanted[item["id"]]:
                    found[built[text]].add(rule_set_hash)
        return found

    def ever(self) -> list[dict[str, Any]]:
        """Every rule that was ever in force, by the keys of its file, each once."""
        texts = {json.dumps(item, sort_keys=True): item for _, items in self._texts() for item in items}
        return list(texts.values())

    def _texts(self) -> Iterable[tuple[str, list[dict[str, Any]]]]:
        rows = self._table.read(["rule_set_hash", "rule_set"]).unique("rule_set_hash", maintain_order=True)
        return ((rule_set_hash, json.loads(text)) for rule_set_hash, text in rows.iter_rows())

    def _of(self, row: dict[str, Any]) -> InForce:
        name = str(row["rule_set_hash"])
        if name not in self._parsed:
            self._parsed[name] = RuleSet.from_json(row["rule_set"])
        return InForce(self._parsed[name], name, tuple(row["group_by"] or ()))

"""The histories of every window rule and group, in memory, moved on by the partials of new batches.

One-minute partials are kept by what they count (all traces, or those of one rule's ``where``) and by the keys
they are grouped by, so that rules share them.  Each rule and group has a fold over them
(``rules/alerting/fold.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from rules.alerting.fold import Fold, Looker
from rules.alerting.sums import Minutes
from rules.alerting.verdicts import Look, State, Verdict, looks, quantiles_of
from rules.rule_set import RuleSet, WindowRule
from rules.units import MINUTE_US
from store.windows import merge, regrouped

Group = tuple[str, ...]
Key = tuple[str, Group]  # rule hash, group
_SERIES = tuple[str, Group]  # partial key, by
_SUMS = ("traces", "errors", "tokens_total", "tokens_total_known", "cost_nusd", "cost_known")


def episode_id(rule_hash: str, group: Iterable[str], instant_us: int) -> str:
    """One firing of one group of one rule: 16 hex digits."""
    text = "\x1f".join([rule_hash, *group, str(instant_us)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Histories:
    """The folds of a pack from ``first_us`` on; what lies before is final, ``final`` says in which state it
    left a group.

    ``begins`` are the rules whose history does not begin with the store's (SEMANTICS 7): the minute where it
    does, or None where no batch has loaded the rule yet.
    """

    def __init__(
        self,
        rule_set: RuleSet,
        first_us: int,
        final: Mapping[Key, State] | None = None,
        begins: Mapping[str, int | None] | None = None,
    ) -> None:
        self.rules = {rule.hash: rule for rule in rule_set.window_rules}
        self.first_us = first_us
        self._final = dict(final or {})
        self._begins = dict(begins or {})
        self._series: dict[_SERIES, dict[Group, Minutes]] = {_of(rule): {} for rule in rule_set.window_rules}
        self._folds: dict[Key, Fold] = {}
        self._touched: dict[_SERIES, dict[Group, tuple[int, int]]] = {key: {} for key in self._series}
        for rule_hash, group in self._final:
            if rule_hash in self.rules:
                self._series[_of(self.rules[rule_hash])].setdefault(group, Minutes())

    def evaluated(self, through_us: int) -> set[str]:
        """The rules (hashes) that have been evaluated at an instant of their own history."""
        began = {rule: self._begins.get(rule, self.first_us) for rule in self.rules}
        return {
            rule
            for rule, at in began.items()
            if at is not None and at // MINUTE_US * MINUTE_US + MINUTE_US <= through_us
        }

    def loaded(self, rule_hashes: Iterable[str], at_us: int) -> None:
        """Batches that count for these rules reach back to ``at_us``."""
        for rule in rule_hashes:
            if rule in self._begins and ((before := self._begins[rule]) is None or at_us < before):
                self._begins[rule] = at_us
                for key in [key for key in self._folds if key[0] == rule]:
                    del self._folds[key]  # it begins earlier: folded afresh

    def begun(self) -> set[str]:
        """The rules whose history begins later than the store's."""
        return set(self._begins)

    def take(self, windows: pl.DataFrame, first_us: int) -> None:
        """Add the partials of whole batches; verdicts before ``first_us`` are final from now on."""
        self.first_us = max(self.first_us, first_us)
        minutes = windows.filter(pl.col("size_us") == MINUTE_US)
        for (partial_key, by), groups in self._series.items():
            own = minutes.filter(pl.col("rule_hash") == partial_key)
            changed = merge(regrouped(own, by)) if own.height else own
            columns = [
                changed["start_us"].to_list(),
                changed["group"].to_list(),
                changed.select(_SUMS).rows(),
                changed["bucket_index"].to_list(),
                changed["bucket_count"].to_list(),
            ]
            touched = self._touched[partial_key, by]
            for start, names, sums, index, count in zip(*columns, strict=True):
                group = tuple(names)
                if group not in touched or start < touched[group][0]:
                    self._freeze(partial_key, by, group, start)
                groups.setdefault(group, Minutes()).add(start, sums, index, count)
                low, high = touched.get(group, (start, start))
                touched[group] = min(low, start), max(high, start)

    def advance(self, through_us: int) -> set[Key]:
        """Fold up to ``through_us``; the rules and groups whose history may have changed."""
        moved: set[Key] = set()
        for rule in self.rules.values():
            began = self._begins.get(rule.hash, 0)
            if began is None:
                continue
            touched = self._touched[_of(rule)]
            for group, minutes in self._series[_of(rule)].items():
                key = rule.hash, group
                fold = self._folds.get(key)
                if fold is None:
                    fold = self._folds[key] = self._fold(rule, group, began)
                elif group not in touched and fold.through_us + rule.every_us > through_us:
                    continue
                fold.advance(_looker(rule, minutes), through_us, touched.get(group))
                moved.add(key)
        for groups in self._touched.values():
            groups.clear()
        return moved

    def changes(self, key: Key) -> tuple[int, list[Verdict]]:
        """The instant up to which a history is final, and its changes after that."""
        fold = self._folds[key]
        return fold.base_us, [change for change in fold.changes if change.instant_us > fold.base_us]

    def state(self, key: Key) -> State | None:
        """Where a group stands after the last instant."""
        fold = self._folds.get(key)
        return fold.state if fold is not None else None

    def forget(self) -> None:
        """Drop what no verdict that may still change needs."""
        for (rule_hash, group), fold in list(self._folds.items()):
            rule = self.rules[rule_hash]
            fold.freeze(_looker(rule, self._series[_of(rule)][group]), self.first_us)
            fold.forget_before(fold.base_us)
        for key, groups in self._series.items():
            rules = [rule for rule in self.rules.values() if _of(rule) == key]
            longest = max(rule.size_us + rule.every_us for rule in rules)
            for group, minutes in list(groups.items()):
                minutes.forget_before(self.first_us - longest)
                folds = [self._folds.get((rule.hash, group)) for rule in rules]
                if not minutes and all(
                    fold is None or (fold.state == State(data_us=fold.state.data_us) and not fold.changes)
                    for fold in folds
                ):
                    del groups[group]
                    for rule in rules:
                        self._folds.pop((rule.hash, group), None)

    def _freeze(self, partial_key: str, by: Group, group: Group, touching_us: int) -> None:
        for rule in self.rules.values():
            fold = self._folds.get((rule.hash, group))
            if fold is not None and _of(rule) == (partial_key, by):
                fold.freeze(_looker(rule, self._series[partial_key, by][group]), self.first_us, touching_us)

    def _fold(self, rule: WindowRule, group: Group, began_us: int) -> Fold:
        begin = max(self.first_us, began_us // MINUTE_US * MINUTE_US + MINUTE_US)
        base = -(-begin // rule.every_us) * rule.every_us - rule.every_us
        return Fold(rule, base, self._final.get((rule.hash, group)))


def _of(rule: WindowRule) -> _SERIES:
    return rule.partial_key, rule.by


def _looker(rule: WindowRule, minutes: Minutes) -> Looker:
    def look(instants: range) -> dict[int, Look]:
        at, columns = minutes.windows(rule.size_us, instants, quantiles_of(rule))
        return dict(zip(at, looks(rule, columns), strict=True)) if at else {}

    return look


def state_of(row: dict[str, Any], first_us: int) -> State:
    """The state that a final verdict left behind at ``first_us``."""
    if row["state"] not in ("pending", "firing"):
        return State(data_us=first_us)
    return State(
        row["state"], row["since_us"], row["instant_us"] if row["state"] == "firing" else None, first_us
    )

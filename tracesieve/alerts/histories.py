"""The histories of every alert rule and group, in memory, moved on by the partials of new batches.

One-minute partials are kept by whose sums they are (those of all traces, or those that one rule counts) and
by the keys they are grouped by, so that rules share them. Each rule and group has a fold over them
(``rules/alerting/fold.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from rules.alerting.contract import AlertRule, AlertState
from rules.alerting.evidence import EvidenceChoice
from rules.alerting.fold import Fold
from rules.alerting.sums import MEASURED
from rules.alerting.verdicts import Verdict
from rules.alerting.windows import Minutes
from rules.rule_set import RuleSet
from rules.units import MINUTE_US
from store.windows import merge, regrouped
from tracesieve.alerts.episodes import Group, RuleGroup

_Series = tuple[str, Group]  # whose sums (AlertRule.partial_key), grouped by which keys


class Histories:
    """The folds of a rule set from ``first_us`` on; what lies before is final, ``final`` holds the states
    that it left groups in.

    ``begins`` are the rules whose history does not begin with the store's (SEMANTICS 7): the minute where it
    does, or None where no batch has loaded the rule yet.
    """

    def __init__(
        self,
        rule_set: RuleSet,
        first_us: int,
        final: Mapping[RuleGroup, AlertState] | None = None,
        begins: Mapping[str, int | None] | None = None,
    ) -> None:
        self.rules = {rule.hash: rule for rule in rule_set.alert_rules}
        self.first_us = first_us
        self._final = dict(final or {})
        self._begins = dict(begins or {})
        self._series: dict[_Series, dict[Group, Minutes]] = {_of(rule): {} for rule in self.rules.values()}
        self._folds: dict[RuleGroup, Fold] = {}
        self._touched: dict[_Series, dict[Group, tuple[int, int]]] = {series: {} for series in self._series}
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

    def begins(self) -> dict[str, int | None]:
        """Where the histories of the rules (hashes) begin that begin later than the store's."""
        return dict(self._begins)

    def begun(self) -> set[str]:
        """The rules whose history begins later than the store's."""
        return set(self._begins)

    def take(self, windows: pl.DataFrame, first_us: int) -> None:
        """Add the partials of whole batches; verdicts before ``first_us`` are final from now on."""
        self.first_us = max(self.first_us, first_us)
        minutes = windows.filter(pl.col("size_us") == MINUTE_US)
        for series in self._series:
            partial_key, by = series
            own = minutes.filter(pl.col("rule_hash") == partial_key)
            if own.height:
                self._add(series, merge(regrouped(own, by)))

    def _add(self, series: _Series, partials: pl.DataFrame) -> None:
        touched, groups = self._touched[series], self._series[series]
        columns = [
            partials["start_us"].to_list(),
            partials["group"].to_list(),
            partials.select(MEASURED).rows(),
            partials["bucket_index"].to_list(),
            partials["bucket_count"].to_list(),
        ]
        for start, values, sums, index, count in zip(*columns, strict=True):
            group = tuple(values)
            if group not in touched or start < touched[group][0]:
                self._freeze(series, group, start)
            groups.setdefault(group, Minutes()).add(start, sums, index, count)
            low, high = touched.get(group, (start, start))
            touched[group] = min(low, start), max(high, start)

    def advance(self, through_us: int) -> set[RuleGroup]:
        """Fold up to ``through_us``; the rules and groups whose history may have changed."""
        moved: set[RuleGroup] = set()
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
                fold.advance(minutes, through_us, touched.get(group))
                moved.add(key)
        for groups in self._touched.values():
            groups.clear()
        return moved

    def changes(self, key: RuleGroup) -> tuple[int, list[Verdict]]:
        """The instant up to which a history is final, and its changes after that.

        Raises:
            KeyError: there is no history of that rule and group.
        """
        fold = self._folds[key]
        return fold.base_us, [change for change in fold.changes if change.instant_us > fold.base_us]

    def state(self, key: RuleGroup) -> AlertState | None:
        """Where a group stands after the last instant."""
        fold = self._folds.get(key)
        return fold.state if fold is not None else None

    def evidence_choice(self, key: RuleGroup, instant_us: int) -> EvidenceChoice:
        """Which traces are behind the step of a group to firing."""
        rule = self.rules[key[0]]
        return rule.choose_evidence(self._series[_of(rule)][key[1]], instant_us)

    def forget(self) -> None:
        """Drop what no verdict that may still change needs."""
        for (rule_hash, group), fold in self._folds.items():
            fold.freeze(self._series[_of(self.rules[rule_hash])][group], self.first_us)
            fold.forget_before(fold.base_us)
        for series, groups in self._series.items():
            rules = [rule for rule in self.rules.values() if _of(rule) == series]
            longest_us = max(rule.lookback_us + rule.every_us for rule in rules)
            for group, minutes in list(groups.items()):
                minutes.forget_before(self.first_us - longest_us)
                if not minutes and all(self._is_idle(rule, group) for rule in rules):
                    del groups[group]
                    for rule in rules:
                        self._folds.pop((rule.hash, group), None)

    def _is_idle(self, rule: AlertRule, group: Group) -> bool:
        fold = self._folds.get((rule.hash, group))
        return fold is None or (rule.is_idle(fold.state) and not fold.changes)

    def _freeze(self, series: _Series, group: Group, touching_us: int) -> None:
        for rule in self.rules.values():
            fold = self._folds.get((rule.hash, group))
            if fold is not None and _of(rule) == series:
                fold.freeze(self._series[series][group], self.first_us, touching_us)

    def _fold(self, rule: AlertRule, group: Group, began_us: int) -> Fold:
        begin = max(self.first_us, began_us // MINUTE_US * MINUTE_US + MINUTE_US)
        base = -(-begin // rule.every_us) * rule.every_us - rule.every_us
        return Fold(rule, base, self._final.get((rule.hash, group)))


def _of(rule: AlertRule) -> _Series:
    return rule.partial_key, rule.by

"""A rule set: the rules that are in force together, their text in the store, and how rules are built from
their keys.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from rules.alerting.contract import AlertRule
from rules.dialect import Condition
from rules.errors import ConditionError
from rules.kinds import RuleModel, all_kinds, kind_of, stored_kind_of
from rules.rule import SEVERITY_ORDER, Rule, Severity


@dataclass(frozen=True)
class RuleSet:
    """A set of rules that is in force together, in the order of their files, shipped packs last."""

    rules: tuple[Rule, ...]
    source: str  # the rules as canonical JSON, enough to build them again
    unread: tuple[str, ...] = ()  # ids of rules in the text that this program cannot build

    @cached_property
    def ranked(self) -> tuple[Rule, ...]:
        """All rules, the most severe first; of equally severe ones the first of the set, so a user's own
        before shipped ones.  Wherever one of several rules is to be chosen or named first, it is the first of
        these (SEMANTICS 22).
        """
        return tuple(sorted(self.rules, key=lambda rule: -SEVERITY_ORDER[rule.severity]))

    @property
    def trace_rules(self) -> tuple[Rule, ...]:
        """The rules that tag each trace which they match."""
        return tuple(rule for rule in self.rules if rule.tags_matches)

    @property
    def alert_rules(self) -> tuple[AlertRule, ...]:
        """The rules that alert."""
        return tuple(alert for rule in self.rules if (alert := rule.alert) is not None)

    @property
    def partial_keys(self) -> tuple[str, ...]:
        """The hashes of the alert rules that count only some traces: they need partial sums of their own."""
        return tuple(alert.partial_key for alert in self.alert_rules if alert.partial_key)

    @property
    def per_trace(self) -> tuple[tuple[Rule, Condition], ...]:
        """The rules of which something is evaluated on each trace, and what (SEMANTICS 7)."""
        return tuple((rule, condition) for rule in self.rules if (condition := rule.per_trace) is not None)

    def with_rules(self, models: Sequence[RuleModel]) -> RuleSet:
        """These rules and some more behind them."""
        if not models:
            return self
        more = build_rule_set(models)
        source = json.dumps([*json.loads(self.source), *json.loads(more.source)], sort_keys=True)
        return RuleSet((*self.rules, *more.rules), source, self.unread)

    @property
    def counts(self) -> str:
        """How many rules there are of each kind, for people: ``6 trace rules, 2 window rules``."""
        number = Counter(rule.kind for rule in self.rules)
        return ", ".join(f"{number[kind.name]} {kind.name} rules" for kind in all_kinds())

    @property
    def hash(self) -> str:
        """Sixteen hex digits over all rules."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The text that is kept in the store under its hash."""
        return self.source

    @classmethod
    def from_json(cls, text: str) -> RuleSet:
        """The rule set of a text that :meth:`to_json` gave, perhaps of a program with other kinds of rules.

        A rule that this program cannot build is left out and named in :attr:`unread`.
        """
        items = json.loads(text)
        rules = [stored_rule(item) for item in items]
        unread = [str(item.get("id")) for item, rule in zip(items, rules, strict=True) if rule is None]
        return cls(tuple(rule for rule in rules if rule is not None), text, tuple(unread))


def parse_rule(item: dict[str, Any]) -> RuleModel:
    """One rule of a file, checked by its kind.

    Raises:
        pydantic.ValidationError: with every mistake in it.
    """
    return kind_of(item).model.model_validate(item)


def stored_rule(item: dict[str, Any]) -> Rule | None:
    """A rule of a store; None where this program has no such kind, or does not know its keys or conditions:
    the store was written by a newer program, or by one with a kind that was taken away since.
    """
    kind = stored_kind_of(item)
    try:
        return None if kind is None else build(kind.model.model_validate(item))
    except (ValidationError, ConditionError):
        return None


def build(model: RuleModel) -> Rule:
    """Compile one rule.

    Raises:
        rules.errors.ConditionError: a condition is wrong.
    """
    return kind_of(model).build(model)


def build_rule_set(models: Sequence[RuleModel]) -> RuleSet:
    """Compile a set of rules."""
    written = [
        model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"tests"}) for model in models
    ]
    source = json.dumps(written, sort_keys=True)
    return RuleSet(tuple(build(model) for model in models), source)


__all__ = [
    "SEVERITY_ORDER",
    "AlertRule",
    "Rule",
    "RuleModel",
    "RuleSet",
    "Severity",
    "build",
    "build_rule_set",
    "parse_rule",
    "stored_rule",
]

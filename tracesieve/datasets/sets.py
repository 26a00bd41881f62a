"""Which datasets a trace is a candidate of, by the config: one a category, or the sets that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rules.kinds.dataset import is_dataset_rule
from rules.selection import Quotas
from rules.tags import PERSONS_REASON, is_search
from sinks.mlflow.config import DATASETS, DatasetsConfig

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

Entry = dict[str, Any]  # why a trace is a candidate: rules with their versions, reason, person


class DatasetSets:
    """The datasets of a config, by the name that follows the prefix.

    ``own_experiments``: experiment ids of traces are those of the server that holds the datasets.
    """

    def __init__(self, config: DatasetsConfig, *, own_experiments: bool = True) -> None:
        self.prefix = config.prefix
        self._config = config
        self._is_one = config.experiment is not None or not own_experiments

    @classmethod
    def of(cls, settings: Settings) -> DatasetSets:
        """Those of a config; the default ones where it wants none (any more)."""
        config = settings.sinks.get(DATASETS.path) or DatasetsConfig()
        return cls(config, own_experiments=settings.source.mlflow_ids)

    @property
    def are_named(self) -> bool:
        """Whether the config names the datasets; else there is one a category."""
        return bool(self._config.sets)

    def is_one(self, name: str) -> bool:
        """Whether there is one dataset of that name, and not one in each trace's own experiment."""
        of_set = self._config.sets.get(name)
        return self._is_one or (of_set is not None and of_set.experiment is not None)

    def fed(self, categories: Mapping[str, Entry]) -> dict[str, Entry]:
        """The datasets that categories of a membership feed, each with why (``rules.tags.membership_of``).

        A person's own category that no set takes has the dataset of its name, as where there are no sets;
        what a search picked is for the dataset of that name alone.
        """
        if not self._config.sets:
            return {name: dict(entry) for name, entry in categories.items() if not _is_condition(entry)}
        found: dict[str, Entry] = {}
        for category, entry in categories.items():
            taken = [self._feed(found, name, category, entry) for name in self._config.sets]
            if entry.get("person") and not any(taken):
                _add(found, category, PERSONS_REASON, [], {"person": True})
            if "picked" in entry and category not in self._config.sets:
                _add(found, category, entry["picked"], _searches(entry), {"picked": entry["picked"]})
        return found

    def _feed(self, found: dict[str, Entry], name: str, category: str, entry: Entry) -> bool:
        """Add what a category feeds into a set; whether a person's label of that category is taken.

        A search puts a trace into the set that it names, and into no other.
        """
        of_set = self._config.sets[name]
        fed_by = of_set.fed_by(name)
        searches = _searches(entry) if category == name else []
        rules = [rule for rule in entry["rules"] if of_set.is_fed_by(name, rule["rule"], category in fed_by)]
        person = of_set.people and bool(entry.get("person")) and category in (name, *fed_by)
        why: Entry = {"person": True} if person else {}
        if rules or person:
            _add(found, name, entry["reason"] if rules else PERSONS_REASON, rules, why)
        if searches:
            _add(found, name, entry["picked"], searches, {"picked": entry["picked"]})
        return person

    def quotas(self, name: str) -> Quotas:
        """The quotas of a dataset."""
        of_set = self._config.sets.get(name)
        return of_set.quotas if of_set is not None and of_set.quotas is not None else self._config.quotas

    def keep(self, name: str) -> Sequence[str]:
        """The strata that a dataset keeps."""
        of_set = self._config.sets.get(name)
        return of_set.keep if of_set is not None and of_set.keep is not None else self._config.keep

    def is_approved(self, name: str, categories: Mapping[str, Entry]) -> bool:
        """Whether a candidate with these categories may enter: where that is asked, a person named it, or a
        search put it there."""
        of_set = self._config.sets.get(name)
        if of_set is None or not of_set.approval:
            return True
        entry = categories.get(name, {})
        return bool(entry.get("person") or entry.get("picked"))


def default_sets() -> DatasetSets:
    """One dataset a category, with the quotas that there are without a config."""
    return DatasetSets(DatasetsConfig())


def _is_condition(entry: Entry) -> bool:
    """Whether nothing but the condition of a set gives a category; there are no sets any more."""
    by_conditions = all(is_dataset_rule(rule["rule"]) for rule in entry["rules"])
    return by_conditions and not entry.get("person") and "picked" not in entry


def _searches(entry: Entry) -> list[Any]:
    return [rule for rule in entry["rules"] if is_search(rule["rule"])]


def _add(found: dict[str, Entry], name: str, reason: str, rules: list[Any], why: Entry) -> None:
    entry = found.setdefault(name, {"rules": [], "reason": reason})
    entry["rules"] += [rule for rule in rules if rule not in entry["rules"]]
    entry |= why

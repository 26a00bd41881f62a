"""Muting: no pages for a rule, or for one group of it, for a while, at the receivers that can do that."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from rules.alerting.contract import AlertRule
from rules.errors import RuleFilesError
from rules.groups import label_names
from rules.loading.packs import load_packs
from sinks.base import Sink
from sinks.errors import SinkError
from sinks.shown import Mute
from store import Store, StoreError, open_store
from store.rule_sets import RuleSets
from tracesieve.alerts.listing import list_alerts
from tracesieve.alerts.receivers import receivers, refused
from tracesieve.errors import AnswerIsNoError, TracesieveError

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

Group = Mapping[str, str]  # values by label


def mute(settings: Settings, rule: str, group: Group, from_us: int, until_us: int) -> Iterator[str]:
    """Let every receiver that can do it page nobody for a rule, or one group of it; yields each place.

    Raises:
        TracesieveError: there is no such rule, or none that alerts, or no such key in its groups; or no
            receiver can mute.
        OutsideError: after all were asked, some did not do it.
        ConfigError: a secret of theirs is missing.
    """
    _check(settings, rule, group)
    failed: list[SinkError] = []
    for sink in _muting(settings):
        try:
            yield from sink.mute(rule, group, from_us, until_us)
        except SinkError as error:
            failed.append(error)
    if failed:
        raise refused(failed)


def unmute(settings: Settings, rule: str, group: Group) -> Iterator[Mute]:
    """End the mutes of a rule that :func:`mute` made, or with ``group`` those of that group; yields each.

    Raises:
        AnswerIsNoError: there is none; the message names those that others made.
        TracesieveError, OutsideError, ConfigError: as :func:`mute`.
    """
    failed: list[SinkError] = []
    ended, of_others = 0, []
    for sink in _muting(settings):
        try:
            found = [one for one in sink.muted() if one.rule == rule and group.items() <= one.group.items()]
            of_others += [one for one in found if not one.ours]
            for one in found:
                if one.ours:
                    sink.unmute(one)
                    ended += 1
                    yield one
        except SinkError as error:
            failed.append(error)
    if failed:
        raise refused(failed)
    if not ended:
        _check(settings, rule, group)
        others = "".join(
            f"; {one.by} muted it at {one.place}: end that one there ({one.comment})" for one in of_others
        )
        raise AnswerIsNoError(f"{named(rule, group)} is not muted by `tracesieve alerts mute`{others}")


def muted(settings: Settings) -> list[Mute]:
    """Every mute of a rule that stands or is to come, whoever made it, the one that ends first before.

    Raises:
        TracesieveError, OutsideError, ConfigError: as :func:`mute`.
    """
    found: list[Mute] = []
    failed: list[SinkError] = []
    for sink in _muting(settings):
        try:
            found += sink.muted()
        except SinkError as error:
            failed.append(error)
    if failed:
        raise refused(failed)
    return sorted(found, key=lambda one: (one.until_us, one.rule, one.place))


def group_of(texts: Sequence[str]) -> dict[str, str]:
    """The group that ``--group KEY=VALUE …`` names, by label.

    Raises:
        TracesieveError: one of them has no ``=``.
    """
    if wrong := [one for one in texts if "=" not in one]:
        raise TracesieveError(f"--group {wrong[0]}: write it as KEY=VALUE, such as environment=production")
    return {label_names([key])[0]: value for key, _, value in (one.partition("=") for one in texts)}


def named(rule: str, group: Group) -> str:
    """A rule, or a group of it, as messages name it."""
    return " ".join([rule, *(f"{key}={value}" for key, value in group.items())])


def _muting(settings: Settings) -> list[Sink]:
    muting = [sink for sink in receivers(settings) if sink.mutes]
    if not muting:
        raise TracesieveError("no receiver of alerts in the config can mute a rule")
    return muting


def _check(settings: Settings, rule: str, group: Group) -> None:
    """Whether there is such a rule, and whether its alerts have such groups."""
    alerting, others, firing = _known(settings)
    if rule in alerting:
        keys = label_names(alerting[rule].by)
        if unknown := [key for key in group if key not in keys]:
            there = f"its groups have {', '.join(keys)}" if keys else "it has no groups"
            raise TracesieveError(f"--group {unknown[0]}: {rule} has no such key ({there})")
    elif rule in others and rule not in firing:
        raise TracesieveError(f"{rule} is a rule that alerts nobody: it has nothing to mute")
    elif rule not in firing:
        raise TracesieveError(f"there is no rule {rule} that alerts{_meant(rule, {*alerting, *firing})}")


def _known(settings: Settings) -> tuple[dict[str, AlertRule], set[str], set[str]]:
    """The rules that alert, by id, the ids of others, and those of rules that are gone and fire yet.

    They are those of the files, and of the store: while a rule file is broken, the rules before it stay in
    force.
    """
    loaded = load_packs(settings.rules, settings.group_by, settings.base_dir)
    sets = [loaded.rule_set] if loaded.rule_set is not None else []
    firing: set[str] = set()
    with suppress(
        StoreError
    ):  # there is none yet, or one of another version: the files alone say what there is
        store: Store = open_store(settings.store_path, create=False)
        in_force = RuleSets(store).in_force()
        sets += [in_force.rules] if in_force is not None else []
        firing = {alert["rule"] for alert in list_alerts(store) if alert["status"] == "firing"}
    if not sets:
        raise RuleFilesError(loaded.errors)
    alerting = {rule.id: rule for one in reversed(sets) for rule in one.alert_rules}
    return alerting, {rule.id for one in sets for rule in one.rules} - alerting.keys(), firing


def _meant(rule: str, there: Collection[str]) -> str:
    near = difflib.get_close_matches(rule, sorted(there), 1, 0.6)
    if near:
        return f": did you mean `{near[0]}`?"
    return f" (there are {', '.join(sorted(there))})" if there else " (no rule alerts)"

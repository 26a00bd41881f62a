"""Verdicts: the fold over instants, with its thresholds, holds and silences."""

from __future__ import annotations

from typing import Any

from rules.alerting.phases import ConditionState
from rules.alerting.sums import Window, sums_of
from rules.alerting.verdicts import history
from rules.alerting.windows import GivenWindows
from rules.kinds.window import WindowRule
from rules.rule_set import build, parse_rule
from rules.units import MINUTE_US as MINUTE


def rule(**changes: Any) -> WindowRule:
    item = {"id": "errors", "window": {"size": "2m"}, "fire": "error_rate > 0.1", **changes}
    built = build(parse_rule(item))
    assert isinstance(built, WindowRule)
    return built


def window(traces: int, errors: int) -> Window:
    return Window(traces, errors, {})


def phases(
    one: WindowRule, windows: list[Window | None], start: ConditionState | None = None
) -> list[tuple[int, str]]:
    """(minute, phase) of each change; None: no data at that instant."""
    found = GivenWindows({i * MINUTE: w for i, w in enumerate(windows, 1) if w is not None})
    grid = range(MINUTE, (len(windows) + 1) * MINUTE, MINUTE)
    changes = history(one, found, grid) if start is None else history(one, found, grid, start)
    return [(c.instant_us // MINUTE, c.state.phase) for c in changes]


BAD, GOOD = window(10, 5), window(10, 0)


def test_sem_15_it_fires_when_the_condition_holds_and_clears_when_it_does_not() -> None:
    assert phases(rule(), [GOOD, BAD, BAD, GOOD]) == [(2, "firing"), (4, "inactive")]


def test_sem_15_for_pends_first_and_a_gap_starts_it_again() -> None:
    one = rule(**{"for": "2m"})
    assert phases(one, [BAD, BAD, BAD, GOOD]) == [(1, "pending"), (3, "firing"), (4, "inactive")]
    assert phases(one, [BAD, BAD, GOOD, BAD]) == [(1, "pending"), (3, "inactive"), (4, "pending")]


def test_sem_15_clear_of_its_own_keeps_it_firing_between_the_thresholds() -> None:
    one = rule(clear="error_rate < 0.02")
    between = window(20, 1)
    assert phases(one, [BAD, between, between, GOOD]) == [(1, "firing"), (4, "inactive")]


def test_sem_15_keep_firing_for_outlasts_a_short_recovery() -> None:
    one = rule(keep_firing_for="2m")
    assert phases(one, [BAD, GOOD, GOOD, GOOD]) == [(1, "firing"), (3, "inactive")]


def test_sem_29_too_few_traces_neither_fire_nor_clear() -> None:
    one = rule(min_traces=10)
    assert phases(one, [window(9, 9)]) == []
    assert phases(one, [BAD, window(9, 0), GOOD]) == [(1, "firing"), (3, "inactive")]


def test_sem_15_no_data_holds_until_twice_the_window() -> None:
    assert phases(rule(), [BAD, None, None, None, None, None]) == [(1, "firing"), (5, "inactive")]


def test_sem_9_rates_and_quantiles_of_nothing_are_null() -> None:
    values = {name: column.tolist() for name, column in sums_of([Window(0, 0, {})]).measures().items()}
    assert str(values["error_rate"]) == str(values["p95_ms"]) == str(values["tokens"]) == "[nan]"
    assert values["traces"] == [0]


def test_a_null_condition_does_not_fire_or_clear() -> None:
    one = rule(fire="cost_usd > 1")
    known = Window(1, 0, {}, cost_nusd=2_000_000_000, cost_known=1)
    assert phases(one, [BAD]) == []
    assert phases(one, [known, BAD, BAD]) == [(1, "firing")]


def test_a_history_goes_on_from_the_state_it_is_given() -> None:
    firing = ConditionState("firing", 0, 0, 0)
    assert phases(rule(), [BAD, BAD], firing) == []
    assert phases(rule(), [BAD, GOOD], firing) == [(2, "inactive")]

"""Whether a window rule fires: a pure fold over instants of a grid (SEMANTICS 14-15).

``looks`` says what a rule makes of many windows at once, through the one matcher; ``step`` carries one
group's state from one instant to the next.  Nothing here reads a clock: the same windows give the same
history.  ``history`` folds a whole grid in one go; ``rules/alerting/fold.py`` keeps such a history up to
date, and must always give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from rules.alerting.sums import QUANTILES, Columns, Window, columns_of
from rules.dialect.nodes import fields_of
from rules.matcher import evaluate_measures
from rules.rule_set import WindowRule

Phase = Literal["inactive", "pending", "firing"]


class State(NamedTuple):
    """Where a group of a rule stands after an instant; times in µs, None: not so."""

    phase: Phase = "inactive"
    since_us: int | None = None  # pending: when it first held; firing: the instant of the step to firing
    held_until_us: int | None = None  # firing: the last instant at which `fire` held
    data_us: int | None = None  # the last instant whose window held any trace


class Look(NamedTuple):
    """What a rule makes of one window: its main measure, and its conditions in three-valued logic."""

    traces: int
    errors: int
    value: float | None
    fires: bool | None
    clears: bool | None


@dataclass(frozen=True)
class Verdict:
    """A change of phase at an instant, with what was measured there."""

    instant_us: int
    state: State
    value: float | None
    traces: int
    errors: int


def measures(window: Window) -> dict[str, float | None]:
    """The measures of one window; rates and quantiles of nothing, and sums that nobody knew, are None."""
    found = columns_of([window]).measures()
    return {name: None if np.isnan(column[0]) else float(column[0]) for name, column in found.items()}


@lru_cache(maxsize=1024)
def main_measure(rule: WindowRule) -> str:
    """The measure that a rule is about: the first that its ``fire`` names."""
    return next((field.name for field in fields_of(rule.fire.node)), "traces")


@lru_cache(maxsize=1024)
def quantiles_of(rule: WindowRule) -> tuple[str, ...]:
    """The quantiles that a rule names."""
    nodes = [rule.fire.node, *([rule.clear.node] if rule.clear is not None else [])]
    names = {field.name for node in nodes for field in fields_of(node)}
    return tuple(name for name in QUANTILES if name in names)


def looks(rule: WindowRule, windows: Columns) -> list[Look]:
    """What the rule makes of each window."""
    size, values = len(windows.sums), windows.measures()
    fires, not_fires = evaluate_measures(rule.fire, values, size)
    clears, not_clears = (
        evaluate_measures(rule.clear, values, size) if rule.clear is not None else (not_fires, fires)
    )
    main = values[main_measure(rule)].tolist()
    found = []
    for i, (traces, errors) in enumerate(windows.sums[:, :2].tolist()):
        enough = traces >= rule.min_traces
        fire = (True if fires[i] else False if not_fires[i] else None) if enough else None
        clear = (
            (True if clears[i] else False if not_clears[i] else None)
            if enough or rule.clear is not None
            else None
        )
        found.append(Look(traces, errors, None if main[i] != main[i] else main[i], fire, clear))
    return found


@lru_cache(maxsize=1024)
def nothing(rule: WindowRule) -> Look:
    """What the rule makes of a window without any trace."""
    return Look(0, 0, 0.0 if main_measure(rule) in ("traces", "errors") else None, None, None)


def step(rule: WindowRule, state: State, instant_us: int, look: Look) -> State:
    """The state after the instant.

    Too few traces (``min_traces``) or a null condition hold the state; no data at all holds it too, until
    twice the window has passed without any: then it is inactive again.
    """
    if look.traces <= 0:
        silent = state.data_us is None or instant_us - state.data_us >= 2 * rule.size_us
        return State(data_us=state.data_us) if silent else state
    state = State(state.phase, state.since_us, state.held_until_us, instant_us)
    if state.phase == "firing":
        if look.fires:
            return State(state.phase, state.since_us, instant_us, instant_us)
        kept = state.held_until_us is not None and instant_us - state.held_until_us < rule.keep_firing_us
        return State(data_us=instant_us) if look.clears and not kept else state
    if look.fires is None:
        return state
    if not look.fires:
        return State(data_us=instant_us)
    since = state.since_us if state.phase == "pending" and state.since_us is not None else instant_us
    if instant_us - since >= rule.for_us:
        return State("firing", instant_us, instant_us, instant_us)
    return State("pending", since, None, instant_us)


def history(
    rule: WindowRule, windows: Mapping[int, Window], instants: range, start: State | None = None
) -> list[Verdict]:
    """The changes of phase of one group over a grid; ``windows`` holds, by instant, the window [e - size, e).

    ``start`` is the state before the grid: that of an earlier verdict which is final.
    """
    seen = dict(zip(windows, looks(rule, columns_of(list(windows.values()))), strict=True))
    return run(rule, seen, instants, start or State())[1]


def run(
    rule: WindowRule, seen: Mapping[int, Look], instants: range, state: State
) -> tuple[State, list[Verdict]]:
    """The fold itself: the state after the last instant, and the changes on the way."""
    changes, empty = [], nothing(rule)
    for instant in instants:
        look = seen.get(instant, empty)
        after = step(rule, state, instant, look)
        if after.phase != state.phase:
            changes.append(Verdict(instant, after, look.value, look.traces, look.errors))
        state = after
    return state, changes

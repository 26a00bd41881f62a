"""Whether a window rule fires: a pure fold over instants of a grid (SEMANTICS 14-15).

``measures`` turns the merged partials of one window into the values a condition may name; ``step`` carries one group's
state from one instant to the next.  Nothing here reads a clock: the same windows give the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from rules.histogram import quantile_us
from rules.matcher import evaluate_measure
from rules.model import WindowRule

Phase = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True)
class Window:
    """The sums of one window of one group; ``counts`` is its histogram of durations (µs)."""

    traces: int
    errors: int
    counts: Mapping[int, int]
    tokens: int = 0
    tokens_known: int = 0
    cost_nusd: int = 0
    cost_known: int = 0


EMPTY = Window(0, 0, {})


@dataclass(frozen=True)
class State:
    """Where a group of a rule stands after an instant; times in µs, None: not so."""

    phase: Phase = "inactive"
    since_us: int | None = None  # pending: when it first held; firing: the instant of the step to firing
    held_until_us: int | None = None  # firing: the last instant at which `fire` held
    data_us: int | None = None  # the last instant whose window held any trace


@dataclass(frozen=True)
class Verdict:
    """A change of phase at an instant, with what was measured there."""

    instant_us: int
    state: State
    value: float | None
    traces: int
    errors: int


def measures(window: Window) -> dict[str, float | None]:
    """The measures of a window; rates and quantiles of nothing, and sums that nobody knew, are None."""
    quantiles = {f"p{p}_ms": quantile_us(window.counts, p / 100) for p in (50, 95, 99)}
    return {
        "traces": window.traces,
        "errors": window.errors,
        "error_rate": window.errors / window.traces if window.traces > 0 else None,
        **{name: None if value is None else value / 1000 for name, value in quantiles.items()},
        "tokens": window.tokens if window.tokens_known > 0 else None,
        "cost_usd": window.cost_nusd / 1e9 if window.cost_known > 0 else None,
    }


def main_measure(rule: WindowRule) -> str:
    """The measure that a rule is about: the first that its ``fire`` names."""
    from rules.dialect.nodes import fields_of

    return next((field.name for field in fields_of(rule.fire.node)), "traces")


def step(rule: WindowRule, state: State, instant_us: int, window: Window) -> tuple[State, float | None]:
    """The state after the instant, and the value of the rule's main measure there.

    Too few traces (``min_traces``) or a null condition hold the state; no data at all holds it too, until twice the
    window has passed without any: then it is inactive again.
    """
    values = measures(window)
    value = values[main_measure(rule)]
    if window.traces <= 0:
        silent = state.data_us is None or instant_us - state.data_us >= 2 * rule.size_us
        return (State(data_us=state.data_us) if silent else state), value
    state = replace(state, data_us=instant_us)
    fires = evaluate_measure(rule.fire, values) if window.traces >= rule.min_traces else None
    if state.phase == "firing":
        if fires:
            return replace(state, held_until_us=instant_us), value
        cleared = evaluate_measure(rule.clear, values) if rule.clear is not None else (None if fires is None else not fires)
        kept = state.held_until_us is not None and instant_us - state.held_until_us < rule.keep_firing_us
        return (State(data_us=instant_us) if cleared and not kept else state), value
    if fires is None:
        return state, value
    if not fires:
        return State(data_us=instant_us), value
    since = state.since_us if state.phase == "pending" and state.since_us is not None else instant_us
    if instant_us - since >= rule.for_us:
        return State("firing", instant_us, instant_us, instant_us), value
    return State("pending", since, None, instant_us), value


def history(rule: WindowRule, windows: Mapping[int, Window], instants: range, start: State | None = None) -> list[Verdict]:
    """The changes of phase of one group over a grid; ``windows`` holds, by instant, the window [e - size, e).

    ``start`` is the state before the grid: that of an earlier verdict which is final.
    """
    state, changes = start or State(), []
    for instant in instants:
        window = windows.get(instant, EMPTY)
        after, value = step(rule, state, instant, window)
        if after.phase != state.phase:
            changes.append(Verdict(instant, after, value, window.traces, window.errors))
        state = after
    return changes

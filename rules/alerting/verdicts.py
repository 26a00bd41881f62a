"""Whether an alert rule fires: a pure fold over the instants of a grid (SEMANTICS 14-15).

Nothing here reads a clock: the same windows give the same history. ``history`` folds a whole grid in one go;
``rules/alerting/fold.py`` keeps such a history up to date, and must always give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.alerting.contract import AlertRule, AlertState, InstantEvaluation
from rules.alerting.windows import WindowReader


@dataclass(frozen=True)
class Verdict:
    """A change of phase at an instant, with what was measured there."""

    instant_us: int
    state: AlertState
    value: float | None
    traces: int
    errors: int


def history(
    rule: AlertRule, windows: WindowReader, instants: range, start: AlertState | None = None
) -> list[Verdict]:
    """The changes of phase of one group over a grid.

    ``start`` is the state before the grid: that of an earlier verdict which is final.
    """
    state = rule.initial if start is None else start
    return folded(rule, rule.evaluate(windows, instants), instants, state)[1]


def folded(
    rule: AlertRule, evaluations: Mapping[int, InstantEvaluation], instants: range, state: AlertState
) -> tuple[AlertState, list[Verdict]]:
    """The fold itself: the state after the last instant, and the changes on the way."""
    changes, no_data, step = [], rule.no_data, rule.step
    for instant in instants:
        evaluation = evaluations.get(instant, no_data)
        after = step(state, instant, evaluation)
        if after.phase != state.phase:
            changes.append(Verdict(instant, after, evaluation.value, evaluation.traces, evaluation.errors))
        state = after
    return state, changes

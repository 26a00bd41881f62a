"""How a condition that holds, or does not, moves a group between inactive, pending and firing (SEMANTICS 15).

:class:`ConditionAlertRule` is the base of kinds that fire while a condition holds; such a kind says only what
holds at an instant. A kind that needs another state implements :class:`~rules.alerting.contract.AlertRule`
itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rules.alerting.contract import AlertRule, Phase


class ConditionState(NamedTuple):
    """Where a group stands after an instant; times in µs, None: not so."""

    phase: Phase = "inactive"
    since_us: int | None = None  # pending: when it first held; firing: the instant of the step to firing
    held_until_us: int | None = None  # firing: the last instant at which the condition held
    data_us: int | None = None  # the last instant whose window held any trace


class ConditionEvaluation(NamedTuple):
    """What a rule makes of one window: its measure, and its conditions in three-valued logic."""

    traces: int
    errors: int
    value: float | None
    fires: bool | None
    clears: bool | None


@dataclass(frozen=True)
class ConditionAlertRule(AlertRule):
    """An alert rule that fires while a condition holds.

    Attributes:
        for_us: how long the condition must hold before the alert fires.
        keep_firing_us: how long it goes on firing after the condition last held.
    """

    for_us: int
    keep_firing_us: int

    @property
    def initial(self) -> ConditionState:
        return ConditionState()

    def step(self, state: ConditionState, instant_us: int, evaluation: ConditionEvaluation) -> ConditionState:
        """The state after the instant.

        A null condition holds the state. No data at all holds it too, until ``silent_after_us`` have passed
        without any: then it is inactive again.
        """
        if evaluation.traces <= 0:
            silent = state.data_us is None or instant_us - state.data_us >= self.silent_after_us
            return ConditionState(data_us=state.data_us) if silent else state
        if state.phase == "firing":
            return self._firing(state, instant_us, evaluation)
        if evaluation.fires is None:
            return ConditionState(state.phase, state.since_us, state.held_until_us, instant_us)
        if not evaluation.fires:
            return ConditionState(data_us=instant_us)
        since = state.since_us if state.phase == "pending" and state.since_us is not None else instant_us
        if instant_us - since >= self.for_us:
            return ConditionState("firing", instant_us, instant_us, instant_us)
        return ConditionState("pending", since, None, instant_us)

    def _firing(
        self, state: ConditionState, instant_us: int, evaluation: ConditionEvaluation
    ) -> ConditionState:
        if evaluation.fires:
            return ConditionState("firing", state.since_us, instant_us, instant_us)
        held_us = state.held_until_us
        kept = held_us is not None and instant_us - held_us < self.keep_firing_us
        if evaluation.clears and not kept:
            return ConditionState(data_us=instant_us)
        return ConditionState("firing", state.since_us, held_us, instant_us)

    def resumed(self, phase: Phase, since_us: int | None, verdict_us: int, at_us: int) -> ConditionState:
        """The state at ``at_us``; the condition of a firing group counts as held up to the verdict."""
        if phase == "inactive":
            return ConditionState(data_us=at_us)
        return ConditionState(phase, since_us, verdict_us if phase == "firing" else None, at_us)

    def is_idle(self, state: ConditionState) -> bool:
        """Inactive, whenever it last had data."""
        return state == ConditionState(data_us=state.data_us)

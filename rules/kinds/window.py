"""Window rules: a condition on the measures of a window of traces; they alert, and tag the traces behind an
alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import Field

from rules.alerting.deciding import Candidate, candidates, deciding, deciding_values, demand_of
from rules.alerting.evidence import EvidenceChoice, choice_of_measure
from rules.alerting.phases import ConditionAlertRule, ConditionEvaluation
from rules.alerting.sums import QUANTILES, WindowSums
from rules.alerting.windows import WindowReader
from rules.dialect import Condition, compile_condition
from rules.dialect.nodes import fields_of
from rules.duration_key import DurationUs
from rules.kinds.alert_keys import EvidenceModel
from rules.kinds.base import Kind, RuleModel
from rules.kinds.strict import Strict
from rules.kinds.window_check import check_window
from rules.matcher import measured
from rules.rule import hash_of
from rules.units import MINUTE_US, duration_text


class WindowModel(Strict):
    """How long a window is and what it is counted by."""

    size: DurationUs = Field(description="how long it is, in whole minutes")
    by: list[str] = Field([], description="the keys of `group_by` for whose values it is evaluated apart")
    every: DurationUs = Field(
        MINUTE_US, description="how far apart the instants are at which it is evaluated, in whole minutes"
    )


class WindowRuleModel(RuleModel):
    """A window rule alerts while a measure of a window is out of bounds, and tags its evidence."""

    where: str | None = Field(
        None, description="a condition on a trace: which traces it counts; default: all"
    )
    window: WindowModel = Field(description="what it looks at")
    fire: str = Field(description="the condition on the window's measures under which it fires")
    min_traces: int = Field(1, ge=1, description="with fewer traces in the window the alert stays as it is")
    for_: DurationUs = Field(0, alias="for", description="how long `fire` must hold before the alert fires")
    clear: str | None = Field(
        None, description="the condition under which it ends; default: that `fire` is false"
    )
    keep_firing_for: DurationUs = Field(0, description="how long it goes on firing after `fire` last held")
    evidence: EvidenceModel | None = Field(
        None, description="which traces behind the alert are tagged; default: none"
    )


@dataclass(frozen=True)
class WindowRule(ConditionAlertRule):
    """A rule that alerts while ``fire`` is TRUE over a window; durations in µs."""

    kind: ClassVar[str] = "window"

    where: Condition | None
    size_us: int
    fire: Condition
    clear: Condition | None
    min_traces: int

    @property
    def per_trace(self) -> Condition | None:
        return self.where

    @property
    def condition_text(self) -> str:
        return self.fire.text

    @property
    def settings(self) -> dict[str, str]:
        """All that decides when it fires and ends, defaults too; ``where`` only if there is one."""
        where = {"where": self.where.text} if self.where is not None else {}
        return {
            **where,
            "window": duration_text(self.size_us),
            **super().settings,
            "min_traces": str(self.min_traces),
            "for": duration_text(self.for_us),
            "clear": self.clear.text if self.clear is not None else "when the condition is false",
            "keep_firing_for": duration_text(self.keep_firing_us),
        }

    @property
    def lookback_us(self) -> int:
        return self.size_us

    @cached_property
    def silent_after_us(self) -> int:
        return 2 * self.size_us

    def evaluate(self, windows: WindowReader, instants: range) -> dict[int, ConditionEvaluation]:
        """What the conditions come to at each instant whose window holds a trace."""
        at, sums = windows.read(self.size_us, instants, self._quantiles)
        return dict(zip(at, self._evaluations(sums), strict=True)) if at else {}

    @cached_property
    def no_data(self) -> ConditionEvaluation:
        nothing = 0.0 if self._main_measure in ("traces", "errors") else None
        return ConditionEvaluation(0, 0, nothing, None, None)

    def choose_evidence(self, windows: WindowReader, instant_us: int) -> EvidenceChoice:
        """By the comparison that decided (``rules/alerting/deciding.py``)."""
        _, sums = windows.read(self.size_us, range(instant_us, instant_us + 1), self._quantiles)
        window = measured(sums.measures(), len(sums))
        fires = np.ones(len(sums), dtype=bool)
        decided = next((one for one in self._deciders if deciding(one, window, fires).any()), None)
        if decided is None:
            return choice_of_measure(self._main_measure, self.size_us, self.partial_key)
        return choice_of_measure(
            decided.measure,
            self.size_us,
            self.partial_key,
            large=decided.rises,
            demand=demand_of(decided, window),
        )

    @cached_property
    def _deciders(self) -> tuple[Candidate, ...]:
        return candidates(self.fire.node)

    @cached_property
    def _main_measure(self) -> str:
        """The measure that the rule is about while it does not fire."""
        return self._deciders[0].measure if self._deciders else "traces"

    @cached_property
    def _quantiles(self) -> tuple[str, ...]:
        """The quantiles that its conditions name."""
        nodes = [one.node for one in (self.fire, self.clear) if one is not None]
        names = {field.name for node in nodes for field in fields_of(node)}
        return tuple(name for name in QUANTILES if name in names)

    def _evaluations(self, sums: WindowSums) -> list[ConditionEvaluation]:
        measures = sums.measures()
        windows = measured(measures, len(sums))
        fires, not_fires = (windows.where(self.fire.node, truth, "measure") for truth in (True, False))
        clears, not_clears = not_fires, fires
        if self.clear is not None:
            clears, not_clears = (windows.where(self.clear.node, truth, "measure") for truth in (True, False))
        values = deciding_values(self._deciders, windows, measures, fires).tolist()
        traces, errors = (sums.sum_of(name).tolist() for name in ("traces", "errors"))
        found = []
        for i, number in enumerate(traces):
            enough = number >= self.min_traces
            fire = (True if fires[i] else False if not_fires[i] else None) if enough else None
            clear = (True if clears[i] else False if not_clears[i] else None) if enough else None
            value = None if values[i] != values[i] else values[i]
            found.append(ConditionEvaluation(number, errors[i], value, fire, clear))
        return found


def _build(model: WindowRuleModel) -> WindowRule:
    where = compile_condition(model.where) if model.where else None
    fire = compile_condition(model.fire, kind="measure")
    clear = compile_condition(model.clear, kind="measure") if model.clear else None
    meaning = [
        model.id,
        where.normal if where else "",
        model.window.size,
        model.window.every,
        model.window.by,
        fire.normal,
        clear.normal if clear else "",
        model.min_traces,
        model.for_,
        model.keep_firing_for,
        model.evidence.model_dump() if model.evidence else None,
        model.severity,
    ]
    return WindowRule(
        id=model.id,
        severity=model.severity,
        points_to=model.points_to,
        hash=hash_of(meaning),
        by=tuple(model.window.by),
        every_us=model.window.every,
        evidence=model.evidence.quota if model.evidence else None,
        for_us=model.for_,
        keep_firing_us=model.keep_firing_for,
        where=where,
        size_us=model.window.size,
        fire=fire,
        clear=clear,
        min_traces=model.min_traces,
    )


KIND = Kind(
    name="window",
    key="window",
    model=WindowRuleModel,
    rule=WindowRule,
    build=_build,
    conditions={"where": "trace", "fire": "measure", "clear": "measure"},
    check=check_window,
)

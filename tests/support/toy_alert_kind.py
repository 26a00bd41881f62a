"""A complete kind of alert rule in one file: traffic that grows to a multiple of what it was just before.

A test adds its line to the registry: ``KINDS = (toy_alert_kind.KIND, *KINDS)``.  As a program this file is
the command line with that line added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from rules.alerting.contract import AlertRule, Phase
from rules.alerting.evidence import EvidenceChoice
from rules.alerting.windows import WindowReader
from rules.diagnostics import Diagnostic
from rules.dialect import Condition, compile_condition
from rules.kinds.alert_keys import EvidenceModel, check_by
from rules.kinds.base import Kind, RuleModel
from rules.kinds.strict import Strict
from rules.rule import hash_of
from rules.units import MINUTE_US


class SurgeModel(Strict):
    """How much more traffic is a surge."""

    minutes: int = Field(5, ge=1, description="the minutes that are compared with as many before them")
    times: float = Field(description="how many times the traffic before makes a surge")
    in_a_row: int = Field(2, ge=1, description="at how many minutes in a row it must be so")


class SurgeRuleModel(RuleModel):
    """A surge rule alerts while traffic is a multiple of what it was just before."""

    surge: SurgeModel = Field(description="what a surge is")
    only: str | None = Field(None, description="a condition on a trace: which traces it counts; default: all")
    by: list[str] = Field([], description="the keys of `group_by` for whose values it is evaluated apart")
    evidence: EvidenceModel | None = Field(
        None, description="which traces of a surge are tagged; default: none"
    )


class SurgeState(NamedTuple):
    """Where a group stands: what the contract asks for, and at how many instants in a row it surged."""

    phase: Phase = "inactive"
    since_us: int | None = None
    held_until_us: int | None = None
    in_a_row: int = 0


class SurgeEvaluation(NamedTuple):
    """The traces of the last minutes, and how many times those of the minutes before they are."""

    traces: int
    errors: int
    value: float | None


@dataclass(frozen=True)
class SurgeRule(AlertRule):
    kind: ClassVar[str] = "surge"

    only: Condition | None
    minutes_us: int
    times: float
    in_a_row: int

    @property
    def per_trace(self) -> Condition | None:
        return self.only

    @property
    def condition_text(self) -> str:
        minutes = self.minutes_us // MINUTE_US
        return f"{self.times:g} times the traffic of the {minutes} minutes before"

    @property
    def lookback_us(self) -> int:
        return 2 * self.minutes_us

    @property
    def silent_after_us(self) -> int:
        return self.minutes_us

    def evaluate(self, windows: WindowReader, instants: range) -> Mapping[int, SurgeEvaluation]:
        at, all_ = windows.read(2 * self.minutes_us, instants)
        recent_at, recent = windows.read(self.minutes_us, instants)
        pairs = zip(recent.sum_of("traces").tolist(), recent.sum_of("errors").tolist(), strict=True)
        now = dict(zip(recent_at, pairs, strict=True))
        found = {}
        for instant, both in zip(at, all_.sum_of("traces").tolist(), strict=True):
            traces, errors = now.get(instant, (0, 0))
            before = both - traces
            found[instant] = SurgeEvaluation(traces, errors, traces / before if before > 0 else None)
        return found

    @property
    def no_data(self) -> SurgeEvaluation:
        return SurgeEvaluation(0, 0, None)

    @property
    def initial(self) -> SurgeState:
        return SurgeState()

    def step(self, state: SurgeState, instant_us: int, evaluation: SurgeEvaluation) -> SurgeState:
        if evaluation.value is None or evaluation.value < self.times:
            return SurgeState()
        if state.phase == "firing":
            return state._replace(held_until_us=instant_us)
        if state.in_a_row + 1 >= self.in_a_row:
            return SurgeState("firing", instant_us, instant_us)
        return SurgeState("pending", state.since_us or instant_us, None, state.in_a_row + 1)

    def resumed(self, phase: Phase, since_us: int | None, verdict_us: int, at_us: int) -> SurgeState:
        if phase == "inactive":
            return SurgeState()
        return SurgeState(phase, since_us, verdict_us if phase == "firing" else None, 1)

    def is_idle(self, state: SurgeState) -> bool:
        return state == SurgeState()

    def choose_evidence(self, windows: WindowReader, instant_us: int) -> EvidenceChoice:
        return EvidenceChoice(self.minutes_us, "end_us", hit=self.partial_key)

    def summary(self, value: float | None, traces: int) -> str:
        return f"{traces} traces, {value or 0:.1f} times those before: more than {self.condition_text}"


def _build(model: SurgeRuleModel) -> SurgeRule:
    only = compile_condition(model.only) if model.only else None
    surge = model.surge
    evidence = model.evidence.quota if model.evidence else None
    meaning = [
        model.id,
        only.normal if only else "",
        surge.model_dump(),
        model.by,
        str(evidence),
        model.severity,
    ]
    return SurgeRule(
        id=model.id,
        severity=model.severity,
        points_to=model.points_to,
        hash=hash_of(meaning),
        by=tuple(model.by),
        every_us=MINUTE_US,
        evidence=evidence,
        only=only,
        minutes_us=surge.minutes * MINUTE_US,
        times=surge.times,
        in_a_row=surge.in_a_row,
    )


def _check(item: Mapping[str, Any], group_by: Sequence[str]) -> Iterator[Diagnostic]:
    yield from check_by(item.get("by"), ("by",), group_by)
    surge = item.get("surge")
    times = surge.get("times") if isinstance(surge, dict) else None
    if isinstance(times, int | float) and times <= 1:
        path = ("surge", "times")
        yield Diagnostic("no-surge", "steady traffic is a surge", "use more than 1", "warning", path=path)


KIND = Kind(
    name="surge",
    key="surge",
    model=SurgeRuleModel,
    rule=SurgeRule,
    build=_build,
    conditions={"only": "trace"},
    check=_check,
)

if __name__ == "__main__":
    from rules import kinds
    from tracesieve.cli import main

    kinds.KINDS = (KIND, *kinds.KINDS)
    main()

"""Window rules: a condition on the measures of a window of traces; they alert, and tag the traces behind an
alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from rules.diagnostics import Diagnostic
from rules.dialect import Condition, compile_condition
from rules.dialect.contradictions import never_true
from rules.dialect.nodes import Compare, Logic, fields_of
from rules.errors import ConditionError
from rules.kinds.base import (
    Category,
    Kind,
    Rule,
    RuleModel,
    hash_of,
)
from rules.kinds.strict import Strict
from rules.units import MINUTE_US, DurationUs, parse_duration_us, seconds_text


class WindowModel(Strict):
    """How long a window is and what it is counted by."""

    size: DurationUs = Field(description="how long it is, in whole minutes")
    by: list[str] = Field([], description="the keys of `group_by` for whose values it is evaluated apart")
    every: DurationUs = Field(
        MINUTE_US, description="how far apart the instants are at which it is evaluated, in whole minutes"
    )


class EvidenceModel(Strict):
    """Which category the traces behind a firing alert get, and how many of them."""

    tag: Category = Field(description="the category")
    most: int = Field(
        20, ge=1, le=1000, description="how many traces, picked once when the alert begins to fire"
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
class WindowRule(Rule):
    """A rule that alerts when ``fire`` is TRUE over a window; durations in µs."""

    kind: ClassVar[str] = "window"

    where: Condition | None
    size_us: int
    every_us: int
    by: tuple[str, ...]
    fire: Condition
    clear: Condition | None
    min_traces: int
    for_us: int
    keep_firing_us: int
    evidence_tag: str | None
    evidence_most: int

    @property
    def per_trace(self) -> Condition | None:
        return self.where

    @property
    def category(self) -> str | None:
        return self.evidence_tag

    @property
    def condition(self) -> Condition:
        return self.fire

    @property
    def partial_key(self) -> str:
        """The ``rule_hash`` of the windows it is evaluated on: its own if it has a ``where``, else those of
        all traces.
        """
        return self.hash if self.where is not None else ""


def _build(model: WindowRuleModel) -> WindowRule:
    where = compile_condition(model.where) if model.where else None
    fire = compile_condition(model.fire, kind="measure")
    clear = compile_condition(model.clear, kind="measure") if model.clear else None
    evidence = model.evidence
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
        evidence.model_dump() if evidence else None,
        model.severity,
    ]
    return WindowRule(
        model.id,
        model.severity,
        model.points_to,
        hash_of(meaning),
        where,
        model.window.size,
        model.window.every,
        tuple(model.window.by),
        fire,
        clear,
        model.min_traces,
        model.for_,
        model.keep_firing_for,
        evidence.tag if evidence else None,
        evidence.most if evidence else 0,
    )


def _check(item: Mapping[str, Any], group_by: Sequence[str]) -> Iterator[Diagnostic]:
    window = item.get("window")
    window = window if isinstance(window, dict) else {}
    by = window.get("by")
    for index, key in enumerate(by if isinstance(by, list) else []):
        if isinstance(key, str) and key not in group_by:
            hint = f"use some of {', '.join(group_by)}"
            yield Diagnostic("by", f"`{key}` is not in group_by", hint, path=("window", "by", index))
    for name in ("size", "every"):
        length = _us(window.get(name))
        if length is not None and (length < MINUTE_US or length % MINUTE_US):
            yield Diagnostic("window", f"`{name}` must be whole minutes", "such as 5m", path=("window", name))
    every = _us(window.get("every", "1m")) or MINUTE_US
    for name in ("for", "keep_firing_for"):
        if (_us(item.get(name)) or 0) % every:
            hint = f"use a multiple of {seconds_text(every)}, at which the rule is evaluated"
            yield Diagnostic(
                "grid", f"`{name}` is not on the grid of the rule's instants", hint, path=(name,)
            )
    if _overlap(item.get("fire"), item.get("clear")):
        yield Diagnostic(
            "clear-overlaps",
            "`clear` can hold while `fire` does: the alert would end and begin again",
            "let it hold only where `fire` does not",
            "warning",
            path=("clear",),
        )


def _us(value: Any) -> int | None:
    try:
        return parse_duration_us(value)
    except ValueError:
        return None  # reported with the shape


def _overlap(fire: Any, clear: Any) -> bool:
    """Whether two comparisons of one measure can hold at once; False where that cannot be told."""
    if not isinstance(fire, str) or not isinstance(clear, str):
        return False
    try:
        nodes = [compile_condition(text, kind="measure").node for text in (fire, clear)]
    except ConditionError:
        return False
    if (
        not all(isinstance(node, Compare) for node in nodes)
        or len({str(f) for node in nodes for f in fields_of(node)}) != 1
    ):
        return False
    return not never_true(Logic("AND", tuple(nodes)))


KIND = Kind(
    "window",
    "window",
    WindowRuleModel,
    _build,
    {"where": "trace", "fire": "measure", "clear": "measure"},
    _check,
)

"""Trace rules: a condition on one trace, and the category that each matching trace gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from rules.diagnostics import Diagnostic
from rules.dialect import Condition, compile_condition
from rules.kinds.base import Category, Kind, RuleModel
from rules.kinds.short_trace import ShortTrace
from rules.kinds.strict import Strict
from rules.rule import Rule, hash_of


class TestsModel(Strict):
    """Traces in short form that must, or must not, match; `rules test` runs them."""

    __test__ = False  # not a test class of pytest

    match: list[ShortTrace] = Field([], description="traces for which `when` must be true")
    no_match: list[ShortTrace] = Field([], description="traces for which it must not")


class TraceRuleModel(RuleModel):
    """A trace rule tags each trace for which `when` is true, and puts it into the dataset of its category."""

    when: str = Field(description="the condition on a trace")
    tag: Category = Field(
        description="the category: error_case, slow_response, edge_case, or one of your own"
    )
    tests: TestsModel | None = Field(None, description="traces that must, or must not, match")


@dataclass(frozen=True)
class TraceRule(Rule):
    """A rule that tags each trace for which ``when`` is TRUE."""

    kind: ClassVar[str] = "trace"
    tags_matches: ClassVar[bool] = True

    when: Condition
    tag: str
    tests: tuple[tuple[bool, str], ...] = ()

    @property
    def per_trace(self) -> Condition:
        return self.when

    @property
    def category(self) -> str:
        return self.tag

    @property
    def condition_text(self) -> str:
        return self.when.text


def _build(model: TraceRuleModel) -> TraceRule:
    when = compile_condition(model.when)
    groups = [(True, model.tests.match), (False, model.tests.no_match)] if model.tests else []
    tests = [
        (flag, json.dumps(one.model_dump(mode="json", exclude_unset=True), sort_keys=True))
        for flag, traces in groups
        for one in traces
    ]
    meaning = [model.id, when.normal, model.tag, model.severity]
    return TraceRule(
        model.id, model.severity, model.points_to, hash_of(meaning), when, model.tag, tuple(tests)
    )


def _check(item: Mapping[str, Any], group_by: Sequence[str]) -> Iterator[Diagnostic]:
    tests = item.get("tests")
    if not tests or (isinstance(tests, dict) and not any(tests.values())):
        hint = "give traces that must and must not match: `tests: {match: […], no_match: […]}`"
        yield Diagnostic("no-tests", "the rule has no tests", hint, "warning", path=("id",))


KIND = Kind(
    name="trace",
    key="when",
    model=TraceRuleModel,
    rule=TraceRule,
    build=_build,
    conditions={"when": "trace"},
    check=_check,
)

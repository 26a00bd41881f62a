"""What a rule file says, as typed values: trace rules that tag, window rules that alert, and the pack of them.

The pydantic models are the file format (and its JSON schema); ``TraceRule`` and ``WindowRule`` are what the program
works with: conditions compiled, durations in microseconds, and a hash over the rule's meaning.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rules.dialect import Condition, compile_condition

Severity = Literal["info", "warning", "critical"]
SEVERITY_ORDER = {"info": 0, "warning": 1, "critical": 2}
_UNITS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
MINUTE_US = 60_000_000


def duration_us(value: Any) -> Any:
    """Microseconds of a text such as ``30s``, ``5m``, ``2h`` or ``1d``.

    Raises:
        ValueError: it is not one.
    """
    match = re.fullmatch(r"(\d+)([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration such as 30s, 5m, 2h or 1d is expected")
    return int(match[1]) * _UNITS[match[2]]


DurationUs = Annotated[int, BeforeValidator(duration_us), Field(json_schema_extra={"type": "string", "pattern": r"^\d+[smhd]$"})]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Category = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Scalar = str | int | float | bool
Value = Scalar | None


class ShortSpan(_Strict):
    """A span of a test's trace."""

    type: str = "UNKNOWN"
    status: str = "OK"
    status_message: str | None = None
    name: str | None = None
    parent_id: str | None = None
    duration_ms: float = Field(0, ge=0)
    inputs: Any = None
    outputs: Any = None
    attributes: dict[str, Any] = {}


class ShortTokens(_Strict):
    """How many tokens a test's trace used."""

    input: int | None = None
    output: int | None = None
    total: int | None = None


class ShortTrace(_Strict):
    """A trace in a test: only what matters to the rule; the rest has no value."""

    status: str = "OK"
    name: str | None = None
    experiment: str | None = None
    duration_ms: float | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, Scalar] = {}
    metadata: dict[str, Scalar] = {}
    tokens: ShortTokens | None = None
    cost: float | None = Field(None, description="USD")
    feedback: dict[str, Value] = {}
    spans: list[ShortSpan] = []


class TestsModel(_Strict):
    """Traces in short form that must, or must not, match."""

    __test__ = False  # not a test class of pytest

    match: list[ShortTrace] = []
    no_match: list[ShortTrace] = []


class WindowModel(_Strict):
    """How long a window is and what it is counted by."""

    size: DurationUs
    by: list[str] = []
    every: DurationUs = MINUTE_US


class EvidenceModel(_Strict):
    """Which tag the traces behind a firing alert get, and how many of them."""

    tag: Category
    most: int = Field(20, ge=1, le=1000)


class _RuleModel(_Strict):
    id: Id
    description: str = ""
    points_to: str = Field("", description="what it usually points to")
    severity: Severity = "warning"
    owner: str = ""


class TraceRuleModel(_RuleModel):
    """Tags each trace that matches."""

    when: str
    tag: Category
    tests: TestsModel | None = None


class WindowRuleModel(_RuleModel):
    """Alerts on a measure over a window, and tags its evidence."""

    where: str | None = None
    window: WindowModel
    fire: str
    min_traces: int = Field(1, ge=1)
    for_: DurationUs = Field(0, alias="for")
    clear: str | None = None
    keep_firing_for: DurationUs = 0
    evidence: EvidenceModel | None = None


class FileModel(_Strict):
    """One rule file."""

    version: Literal[1]
    rules: list[TraceRuleModel | WindowRuleModel]


@dataclass(frozen=True)
class TraceRule:
    """A rule that tags each trace for which ``when`` is TRUE."""

    id: str
    when: Condition
    tag: str
    severity: Severity
    points_to: str
    hash: str
    tests: tuple[tuple[bool, str], ...] = ()  # (should match, the short trace as JSON)


@dataclass(frozen=True)
class WindowRule:
    """A rule that alerts when ``fire`` is TRUE over a window; durations in µs."""

    id: str
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
    severity: Severity
    points_to: str
    hash: str

    @property
    def partial_key(self) -> str:
        """The ``rule_hash`` of the windows it is evaluated on: its own if it has a ``where``, else those of all traces."""
        return self.hash if self.where is not None else ""


@dataclass(frozen=True)
class Pack:
    """A set of rules that is in force together."""

    trace_rules: tuple[TraceRule, ...]
    window_rules: tuple[WindowRule, ...]
    source: str  # the rules as canonical JSON, enough to build them again

    @property
    def hash(self) -> str:
        """Sixteen hex digits over all rules."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The text that is kept in the store under the pack's hash."""
        return self.source

    @classmethod
    def from_json(cls, text: str) -> Pack:
        """The pack of a text that :meth:`to_json` gave."""
        return build_pack([parse_rule(item) for item in json.loads(text)])

    def category_of(self, rule_ids: list[str]) -> str | None:
        """The category of the most severe of those trace rules; ties go to the first in the pack (SEMANTICS 22)."""
        rules = [rule for rule in self.trace_rules if rule.id in rule_ids]
        best = max(rules, key=lambda rule: SEVERITY_ORDER[rule.severity], default=None)
        return best.tag if best else None


def parse_rule(item: dict[str, Any]) -> TraceRuleModel | WindowRuleModel:
    """One rule of a file; a mapping with ``when`` is a trace rule, any other a window rule.

    Raises:
        pydantic.ValidationError: with every mistake in it.
    """
    model = TraceRuleModel if "when" in item else WindowRuleModel
    return model.model_validate(item)


def build(model: TraceRuleModel | WindowRuleModel) -> TraceRule | WindowRule:
    """Compile one rule.

    Raises:
        rules.errors.ConditionError: a condition is wrong.
    """
    if isinstance(model, TraceRuleModel):
        when = compile_condition(model.when)
        meaning = [model.id, when.normal, model.tag, model.severity]
        tests = [(flag, json.dumps(t.model_dump(exclude_unset=True), sort_keys=True)) for flag, ts in _tests(model) for t in ts]
        return TraceRule(model.id, when, model.tag, model.severity, model.points_to, _hash(meaning), tuple(tests))
    where = compile_condition(model.where) if model.where else None
    fire = compile_condition(model.fire, kind="measure")
    clear = compile_condition(model.clear, kind="measure") if model.clear else None
    evidence = model.evidence
    fields = [model.id, where.normal if where else "", model.window.size, model.window.every, model.window.by, fire.normal,
              clear.normal if clear else "", model.min_traces, model.for_, model.keep_firing_for,
              evidence.model_dump() if evidence else None, model.severity]  # fmt: skip
    return WindowRule(
        model.id, where, model.window.size, model.window.every, tuple(model.window.by), fire, clear, model.min_traces,
        model.for_, model.keep_firing_for, evidence.tag if evidence else None, evidence.most if evidence else 0,
        model.severity, model.points_to, _hash(fields),
    )  # fmt: skip


def build_pack(models: list[TraceRuleModel | WindowRuleModel]) -> Pack:
    """Compile a set of rules."""
    built = [build(model) for model in models]
    return Pack(
        tuple(rule for rule in built if isinstance(rule, TraceRule)),
        tuple(rule for rule in built if isinstance(rule, WindowRule)),
        json.dumps([_dump(model) for model in models], sort_keys=True),
    )


def _dump(model: TraceRuleModel | WindowRuleModel) -> dict[str, Any]:
    data = model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"tests"})
    for place, key in (
        (data, "for"),
        (data, "keep_firing_for"),
        (data.get("window", {}), "size"),
        (data.get("window", {}), "every"),
    ):
        if key in place:
            place[key] = f"{place[key] // 1_000_000}s"
    return data


def _tests(model: TraceRuleModel) -> list[tuple[bool, list[ShortTrace]]]:
    return [(True, model.tests.match), (False, model.tests.no_match)] if model.tests else []


def _hash(meaning: Any) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()[:12]

"""The contract of alert rules: what a kind of alert rule gives, and all that the rest of the program asks of
it.

- Sums: ``partial_key``, ``by`` and ``lookback_us`` say which minutes it reads; ``evaluate`` reads them.
- History: ``initial``, ``step``, ``resumed`` and ``is_idle`` are a pure fold over instants (SEMANTICS 14,
15).
- Evidence: ``evidence`` says how many traces, ``choose_evidence`` which (SEMANTICS 17).
- Words: ``condition_text`` and ``summary`` stand on the page that an alert sends; ``settings`` in listings.

Its keys in a rule file and what lint checks are described by its ``Kind`` (``rules/kinds/base.py``).
Verdicts, evidence, notifications, metrics, maintenance, reports and the batch ask this contract, and know no
kind by name. Nothing here reads a clock: equal sums give equal histories.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rules.alerting.evidence import EvidenceChoice
from rules.alerting.windows import WindowReader
from rules.rule import Rule
from rules.units import duration_text

Phase = Literal["inactive", "pending", "firing"]


class AlertState(Protocol):
    """Where one group of a rule stands after an instant.

    An immutable value that can be compared, hashed and written down: numbers, texts and tuples of them. A
    kind may keep more in it than is named here; nobody else looks at that.
    """

    @property
    def phase(self) -> Phase:
        """Whether it fires."""
        ...

    @property
    def since_us(self) -> int | None:
        """Pending: the first instant at which the condition held; firing: the instant of the step to
        firing.
        """
        ...

    @property
    def held_until_us(self) -> int | None:
        """Firing: the last instant at which the condition held."""
        ...


class InstantEvaluation(Protocol):
    """What a rule makes of one group at one instant; a kind may keep more in it than is named here."""

    @property
    def traces(self) -> int:
        """How many traces it looked at."""
        ...

    @property
    def errors(self) -> int:
        """How many of those failed."""
        ...

    @property
    def value(self) -> float | None:
        """The measure that the alert is about; None: nothing was measured."""
        ...


@dataclass(frozen=True)
class EvidenceQuota:
    """The category that evidence gets, and how many traces an episode has at most."""

    category: str
    most: int


@dataclass(frozen=True)
class AlertRule(Rule, ABC):
    """A rule that alerts, for each group of traces apart.

    Attributes:
        by: the keys of ``group_by`` for whose values it is evaluated apart.
        every_us: the distance of the instants at which it is evaluated; whole minutes.
        evidence: None: its evidence is not tagged.
    """

    by: tuple[str, ...]
    every_us: int
    evidence: EvidenceQuota | None

    @property
    def alert(self) -> AlertRule:
        return self

    @property
    def category(self) -> str | None:
        return self.evidence.category if self.evidence is not None else None

    @property
    def settings(self) -> dict[str, str]:
        """Its groups and how often it is evaluated; a kind adds what else its author set."""
        return {"groups": ", ".join(self.by) or "none", "every": duration_text(self.every_us)}

    @property
    def partial_key(self) -> str:
        """Whose partial sums it reads: its own (its hash) if ``per_trace`` says which traces it counts, else
        those of all traces (``""``).
        """
        return self.hash if self.per_trace is not None else ""

    @property
    @abstractmethod
    def lookback_us(self) -> int:
        """How far before an instant the earliest minute lies that it reads there; whole minutes."""

    @property
    @abstractmethod
    def silent_after_us(self) -> int:
        """How long a group may be without any trace before its alert ends for that."""

    @abstractmethod
    def evaluate(self, windows: WindowReader, instants: range) -> Mapping[int, Any]:
        """The evaluation (:class:`InstantEvaluation`) of one group at each instant where it has traces."""

    @property
    @abstractmethod
    def no_data(self) -> Any:
        """The evaluation at every other instant."""

    @property
    @abstractmethod
    def initial(self) -> Any:
        """The state (:class:`AlertState`) before the first instant."""

    @abstractmethod
    def step(self, state: Any, instant_us: int, evaluation: Any) -> Any:
        """The state after an instant."""

    @abstractmethod
    def resumed(self, phase: Phase, since_us: int | None, verdict_us: int, at_us: int) -> Any:
        """The state at ``at_us``, after a final verdict: all that is known of what came before.

        ``phase`` and ``since_us`` are those of the verdict's state, ``verdict_us`` is its instant.
        """

    @abstractmethod
    def is_idle(self, state: Any) -> bool:
        """Whether a group without recent traces can be forgotten: nothing of it goes on."""

    @abstractmethod
    def choose_evidence(self, windows: WindowReader, instant_us: int) -> EvidenceChoice:
        """Which traces of a group are behind its step to firing at that instant."""

    def summary(self, value: float | None, traces: int) -> str:
        """One sentence for a page: what was measured at the step to firing, and what it usually points to."""
        measured = "no value" if value is None else plain_number(value)
        words = f"{self.condition_text} is met with {measured} over {traces} traces"
        return words + (f": {self.points_to}" if self.points_to else "")

    def resolution(self, value: float | None, traces: int) -> str:
        """One sentence for the end of an alert: what was measured at the instant that ended it."""
        measured = "no value" if value is None else plain_number(value)
        return f"{self.condition_text} is over: {measured} over {traces} traces"


def plain_number(value: float) -> str:
    """Four digits, and never as a power of ten: ``0.2963``, ``12460``."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"

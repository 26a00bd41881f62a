"""Whether a rule is to be kept, tuned or retired, by what it matched and what became of it.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

KEEP: Final = "keep"
TUNE: Final = "tune"
RETIRE: Final = "retire"

FEWEST_REVIEWED = 10  # records, before anything is concluded from them
FEWEST_MATCHES = 20  # before two rules are called the same
LONG_ENOUGH_DAYS = 14.0  # without a match
_HARDLY_ANY, _HALF = 0.2, 0.5  # precision that is surely not reached
_MOST_TRAFFIC = 0.2  # of all traces: what matches more of them tells little apart
_THE_SAME = 0.95  # of the matches are of another rule, too


@dataclass(frozen=True)
class Proportion:
    """``part`` of ``whole``, and between what it lies with 95% confidence (Wilson's interval)."""

    part: int
    whole: int
    low: float = 0.0
    high: float = 1.0

    @property
    def share(self) -> float | None:
        """None of nothing."""
        return self.part / self.whole if self.whole else None


def proportion(part: int, whole: int) -> Proportion:
    """With its interval."""
    if not whole:
        return Proportion(0, 0)
    from scipy.stats import binomtest

    bounds = binomtest(part, whole).proportion_ci(0.95, "wilson")
    return Proportion(part, whole, float(bounds.low), float(bounds.high))


@dataclass(frozen=True)
class Overlap:
    """How many of a rule's matches are of another rule, too."""

    rule: str
    shared: int
    share: float


@dataclass(frozen=True)
class Standing:
    """What is known of one rule.

    Attributes:
        category: that it gives; None: it tags no trace.
        alerts: it alerts; its matches are the evidence of its alerts.
        matches: traces that its present version matches.
        older_matches: those that only a former version of it matched.
        in_force_days: how long the present version has been in force, within the range.
        failures: of the reviewed records that it brought into a dataset those that were failures.
        overlaps: with each other rule that shares a match, the largest first.
    """

    rule: str
    category: str | None
    alerts: bool
    matches: int = 0
    older_matches: int = 0
    in_sets: int = 0
    in_force_days: float = 0.0
    failures: Proportion = field(default_factory=lambda: Proportion(0, 0))
    overlaps: Sequence[Overlap] = ()


def decide(one: Standing, others: dict[str, Standing], traces: int) -> tuple[str, str]:
    """The verdict on a rule and its reason, in words; ``traces`` are all there were."""
    return next(_verdicts(one, others, traces))


def _verdicts(one: Standing, others: dict[str, Standing], traces: int) -> Iterator[tuple[str, str]]:
    found = one.failures
    counted = f"{found.part:,} of {found.whole:,} reviewed records were failures"
    if not one.matches:
        yield _without_matches(one)
        return
    if found.whole >= FEWEST_REVIEWED and found.high < _HARDLY_ANY:
        yield RETIRE, f"{counted}: surely fewer than {_HARDLY_ANY:.0%}"
    if (same := _same(one, others)) is not None:
        yield RETIRE, f"{same.share:.0%} of its matches are also matches of {same.rule}"
    if found.whole >= FEWEST_REVIEWED and found.high < _HALF:
        yield TUNE, f"{counted}: surely fewer than half"
    if one.category and traces and one.matches >= FEWEST_MATCHES and one.matches / traces > _MOST_TRAFFIC:
        yield TUNE, f"it matches {one.matches / traces:.0%} of all traces, which tells few of them apart"
    if found.whole < FEWEST_REVIEWED and one.category:
        yield (
            KEEP,
            f"too little is reviewed to judge it ({found.whole} of at least {FEWEST_REVIEWED} records)",
        )
    yield KEEP, counted if found.whole else "its alerts have evidence"


def _without_matches(one: Standing) -> tuple[str, str]:
    days = f"{one.in_force_days:.0f} days"
    if one.alerts:
        return KEEP, "it did not fire: an alert that is quiet may still be needed"
    if one.older_matches:
        return KEEP, "only a former version matched; `tracesieve apply` applies this one to the past"
    if one.in_force_days >= LONG_ENOUGH_DAYS:
        return RETIRE, f"it matched nothing in {days}"
    return KEEP, f"it matched nothing yet, and {days} are too short to judge it"


def _same(one: Standing, others: dict[str, Standing]) -> Overlap | None:
    """A rule of the same category that makes this one needless: of two alike ones the smaller goes."""
    for overlap in one.overlaps:
        other = others[overlap.rule]
        smaller = (one.matches, other.rule) < (other.matches, one.rule)
        enough = one.matches >= FEWEST_MATCHES and overlap.share >= _THE_SAME
        if enough and smaller and one.category is not None and one.category == other.category:
            return overlap
    return None

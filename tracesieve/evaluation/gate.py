"""The gate: whether the answers of a version are good enough, and what became worse since it last passed.
Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracesieve.config.evaluation import ScorerConfig
from tracesieve.evaluation.score import ERROR, FAIL, PASS, SKIPPED, Score

Scores = Mapping[tuple[str, str], Score]  # by record and scorer


@dataclass(frozen=True)
class Change:
    """A record of which a scorer says something else than before."""

    record: str
    scorer: str
    rationale: str


@dataclass(frozen=True)
class ScorerResult:
    """One scorer over all records.

    Attributes:
        share: of the answers that it judged, those that pass; None where it judged none.
        worse: records that fail and passed before.
        numbers: min, max, mean, median, variance and p90 of its values, as MLflow has them; none where they
        are
            no numbers.
    """

    name: str
    passed: int
    failed: int
    errors: int
    skipped: int
    worse: int
    numbers: Mapping[str, float]

    @property
    def share(self) -> float | None:
        judged = self.passed + self.failed
        return self.passed / judged if judged else None


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why; ``worse`` passed before and fails, ``fixed`` the other way round.

    ``new`` and ``gone`` are records that the evaluation before did not have, and no longer has.
    """

    reasons: Sequence[str]
    scorers: Sequence[ScorerResult]
    worse: Sequence[Change]
    fixed: Sequence[Change]
    errors: Sequence[Change]
    new: Sequence[str]
    gone: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def judge(
    scores: Sequence[Score], before: Sequence[Score] | None, configs: Mapping[str, ScorerConfig]
) -> Verdict:
    """The verdict on scores, compared with those of an evaluation before (None: there is none)."""
    now, then = _by_pair(scores), _by_pair(before or ())
    worse = [_change(one) for one in scores if one.outcome == FAIL and _was(then, one) == PASS]
    fixed = [_change(one) for one in scores if one.outcome == PASS and _was(then, one) == FAIL]
    errors = [_change(one) for one in scores if one.outcome == ERROR]
    results = [
        _result(name, [one for one in scores if one.scorer == name], worse) for name in sorted(configs)
    ]
    records, earlier = {key[0] for key in now}, {key[0] for key in then}
    compared = before is not None
    return Verdict(
        [reason for one in results for reason in _reasons(one, configs[one.name])],
        results,
        worse,
        fixed,
        errors,
        sorted(records - earlier) if compared else [],
        sorted(earlier - records) if compared else [],
    )


def _by_pair(scores: Sequence[Score]) -> Scores:
    return {(one.record, one.scorer): one for one in scores}


def _was(then: Scores, one: Score) -> str | None:
    found = then.get((one.record, one.scorer))
    return found.outcome if found else None


def _change(one: Score) -> Change:
    return Change(one.record, one.scorer, one.rationale)


def _result(name: str, scores: Sequence[Score], worse: Sequence[Change]) -> ScorerResult:
    count = {kind: sum(one.outcome == kind for one in scores) for kind in (PASS, FAIL, ERROR, SKIPPED)}
    return ScorerResult(
        name,
        count[PASS],
        count[FAIL],
        count[ERROR],
        count[SKIPPED],
        sum(one.scorer == name for one in worse),
        _numbers([one.value for one in scores if one.outcome in (PASS, FAIL)]),
    )


def _reasons(one: ScorerResult, config: ScorerConfig) -> Iterator[str]:
    """What speaks against letting the version through, by one scorer."""
    judged = one.passed + one.failed
    if not judged and not one.errors:
        yield f"{one.name}: it could judge no record ({one.skipped:,} lack what it needs)"
    if config.at_least is not None and one.share is not None and one.share < config.at_least:
        yield (
            f"{one.name}: {one.passed:,} of {judged:,} answers pass ({one.share:.1%}), "
            f"at least {config.at_least:.1%} must"
        )
    if config.at_most_worse is not None and one.worse > config.at_most_worse:
        yield f"{one.name}: {one.worse:,} fail that passed before, at most {config.at_most_worse:,} may"
    if one.errors > config.at_most_errors:
        yield f"{one.name}: {one.errors:,} have no score, at most {config.at_most_errors:,} may"


def _numbers(values: Sequence[str]) -> dict[str, float]:
    """The six aggregations of MLflow, of values that are all numbers."""
    try:
        found = sorted(float(one) for one in values)
    except ValueError:
        return {}
    if not found:
        return {}
    return {
        "min": found[0],
        "max": found[-1],
        "mean": statistics.fmean(found),
        "median": statistics.median(found),
        "variance": statistics.pvariance(found),
        "p90": _quantile(found, 0.9),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Interpolated between the values, as numpy does."""
    at = (len(ordered) - 1) * share
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)

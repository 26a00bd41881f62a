"""Which steps of a range have more affected traces than the rest of the range explains.

The test is exact: given how many traces each step has and how many are affected in all, chance puts the
affected ones into steps as a draw without replacement does, whatever their rate is (Fisher, 1935: the
hypergeometric distribution). So a rate needs no estimate, and a step with three traces is judged as rightly
as one with three thousand. The most extreme step is taken out of the usual ones, then the others are judged
again, so that one outage does not hide another.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LEVEL: Final = 0.01  # chance finds anything at all in at most so many ranges, over all steps and measures
FEWEST_STEPS: Final = 6  # with traces: fewer have no usual
FEWEST_AFFECTED: Final = 3
_SPREADS: Final = 4.0
_NORMAL: Final = 1.4826  # a median of absolute deviations is so many times smaller than a standard deviation
_RATE_COUNTS: Final = 20  # traces of a step from which its rate says something of the spread


@dataclass(frozen=True)
class Outlier:
    """A step that stands out: its place, the rate of affected traces among the usual steps, and how likely
    chance alone makes one as extreme in any step or measure.
    """

    step: int
    usual: float
    p_value: float


def outliers(
    traces: Sequence[int], affected: Sequence[int], *, least_ratio: float, measures: int = 1
) -> list[Outlier]:
    """The steps that stand out, by place; ``traces`` and ``affected`` are numbers by step.

    A step stands out if chance alone makes one like it with a probability of at most :data:`LEVEL`, after
    Bonferroni's correction for the number of steps times ``measures``; if its rate is ``least_ratio`` times
    the usual one; and if it is four spreads (by the median of absolute deviations) above the median of all
    steps, so that a range whose steps differ by themselves is not all spikes.
    """
    usual = {step: (n, affected[step]) for step, n in enumerate(traces) if n}
    tests = len(usual) * measures
    too_low = _common(usual)
    found: list[Outlier] = []
    while len(usual) >= FEWEST_STEPS:
        judged = [(_p_value(usual, step), step) for step in usual]
        p_value, step = min(judged)
        if p_value * tests > LEVEL:
            break
        n, k = usual.pop(step)
        rate = _rate(usual)
        if k >= FEWEST_AFFECTED and k / n >= least_ratio * rate and k / n > too_low:
            found.append(Outlier(step, rate, min(p_value * tests, 1.0)))
    rate = _rate(usual)
    return sorted((Outlier(one.step, rate, one.p_value) for one in found), key=lambda one: one.step)


def _p_value(usual: Mapping[int, tuple[int, int]], step: int) -> float:
    n, k = usual[step]
    return upper_tail(k, n, sum(one[1] for one in usual.values()), sum(one[0] for one in usual.values()))


def _rate(usual: Mapping[int, tuple[int, int]]) -> float:
    traces = sum(n for n, _ in usual.values())
    return sum(k for _, k in usual.values()) / traces if traces else 0.0


def _common(steps: Mapping[int, tuple[int, int]]) -> float:
    """Up to which rate the steps differ by themselves."""
    rates = [k / n for n, k in steps.values() if n >= _RATE_COUNTS]
    if len(rates) < FEWEST_STEPS:
        return -1.0
    middle = statistics.median(rates)
    return middle + _SPREADS * _NORMAL * statistics.median(abs(rate - middle) for rate in rates)


def upper_tail(k: int, n: int, affected: int, traces: int) -> float:
    """The probability that at least ``k`` of ``n`` traces drawn from ``traces`` are among the ``affected``; 1
    where ``k`` is no more than is to be expected.

    To 1e-6 of itself; what is smaller than a double can be is 0.
    """
    most = min(n, affected)
    if k * traces <= n * affected:
        return 1.0
    if k > most:
        return 0.0
    term = _log_choose(affected, k) + _log_choose(traces - affected, n - k) - _log_choose(traces, n)
    whole, one = 1.0, 1.0
    for j in range(k, most):  # each term from the one before it
        one *= (affected - j) / (j + 1) * (n - j) / (traces - affected - n + j + 1)
        whole += one
        if one < whole * 1e-12:
            break
    return min(math.exp(term) * whole, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

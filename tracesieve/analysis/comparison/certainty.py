"""How sure a difference between two samples is: tests, intervals, and what many of them at once come to.

docs/profile.md says in words what is tested. Sources of the formulas:

- two histograms: Mann and Whitney 1947, the normal approximation with the correction for ties and for
  continuity (Hollander, Wolfe, Chicken, *Nonparametric Statistical Methods*, 3rd ed., 4.1);
- two shares: Fisher's exact test; the interval of their difference is Newcombe's (1998, method 10), from two
  Wilson intervals;
- the ratio of two quantiles: each has its interval by order statistics (Conover, *Practical Nonparametric
  Statistics*, 3.2), joined as Zou and Donner (2008) do, on logarithms;
- many tests: Holm 1979; Benjamini and Hochberg 1995.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

CONFIDENCE = 0.95  # of intervals
FEWEST = 10  # values on each side from which histograms are compared
Interval = tuple[float, float]


def histograms_differ(before: Mapping[int, int], after: Mapping[int, int]) -> tuple[float, float] | None:
    """The p-value, two-sided, that values of two samples are alike, by counts of ordered values; and the
    share of pairs in which that of ``after`` is the greater (a tie is half a pair).

    None where a side has fewer than :data:`FEWEST` values.
    """
    from scipy.stats import norm

    values = sorted(before.keys() | after.keys())
    one, other = (np.array([side.get(value, 0) for value in values], np.float64) for side in (before, after))
    m, n = one.sum(), other.sum()
    if min(m, n) < FEWEST:
        return None
    below = np.cumsum(one) - one / 2
    greater = float((other * below).sum())  # pairs
    ties = one + other
    total = m + n
    variance = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    share = greater / (m * n)
    if variance <= 0:
        return 1.0, share
    away = max(abs(greater - m * n / 2) - 0.5, 0.0) / math.sqrt(variance)
    return float(min(2 * norm.sf(away), 1.0)), share


def shares_differ(hits: tuple[int, int], of: tuple[int, int]) -> float:
    """The p-value, two-sided, that two shares are alike: ``hits[0]`` of ``of[0]``, and the others."""
    from scipy.stats import fisher_exact

    if not sum(hits) or sum(hits) == sum(of) or not all(of):
        return 1.0
    table = [[hits[0], of[0] - hits[0]], [hits[1], of[1] - hits[1]]]
    return float(min(fisher_exact(table).pvalue, 1.0))


def difference_interval(hits: tuple[int, int], of: tuple[int, int]) -> Interval | None:
    """Between which the share after less that before lies; None where a side is empty."""
    from scipy.stats import binomtest

    if not all(of):
        return None
    share = [one / number for one, number in zip(hits, of, strict=True)]
    ends = [
        binomtest(one, number).proportion_ci(CONFIDENCE, method="wilson")
        for one, number in zip(hits, of, strict=True)
    ]
    change = share[1] - share[0]
    low = math.hypot(share[1] - ends[1].low, ends[0].high - share[0])
    high = math.hypot(ends[1].high - share[1], share[0] - ends[0].low)
    return max(change - low, -1.0), min(change + high, 1.0)


def quantile_ranks(number: int, q: float) -> tuple[int, int] | None:
    """The ranks (from 1) between which the q-quantile lies; None where there are too few values to say."""
    from scipy.stats import binom

    tail = (1 - CONFIDENCE) / 2
    low, high = int(binom.ppf(tail, number, q)), int(binom.ppf(1 - tail, number, q)) + 1
    return (low, high) if low >= 1 and high <= number else None


def ratio_interval(before: tuple[float, Interval], after: tuple[float, Interval]) -> Interval | None:
    """Between which the ratio after / before of two positive estimates lies, given the interval of each."""
    if min(before[0], after[0], *before[1], *after[1]) <= 0:
        return None
    (x, (x_low, x_high)), (y, (y_low, y_high)) = (
        (math.log(value), (math.log(low), math.log(high))) for value, (low, high) in (before, after)
    )
    low = y - x - math.hypot(y - y_low, x_high - x)
    high = y - x + math.hypot(y_high - y, x - x_low)
    return math.exp(low), math.exp(high)


def holm(p: Sequence[float]) -> list[float]:
    """p-values so adjusted that among those at most α the chance of a single false one is at most α."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    found, highest = [1.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min((len(p) - rank) * p[place], 1.0))
        found[place] = highest
    return found


def false_discovery(p: Sequence[float]) -> list[float]:
    """p-values so adjusted that among those at most α a share of α is expected to be false."""
    from scipy.stats import false_discovery_control

    return [float(one) for one in false_discovery_control(p, method="bh")] if p else []

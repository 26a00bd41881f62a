"""Which steps stand out: an exact test, at its stated level where there is nothing but chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from tracesieve.analysis.outliers import LEVEL, outliers, upper_tail


def test_the_tail_is_that_of_the_hypergeometric_distribution() -> None:
    rng = np.random.default_rng(5)
    for _ in range(500):
        traces = int(rng.integers(1, 10 ** int(rng.integers(1, 7))))
        affected, n = (int(one) for one in rng.integers(0, traces + 1, 2))
        k = int(rng.integers(0, n + 1))
        expected = 1.0 if k * traces <= n * affected else float(hypergeom.sf(k - 1, traces, affected, n))
        assert upper_tail(k, n, affected, traces) == pytest.approx(expected, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("traces", [4, 40, 900])
@pytest.mark.parametrize("rate", [0.005, 0.05, 0.3])
def test_pure_chance_is_called_an_outlier_no_more_often_than_stated(traces: int, rate: float) -> None:
    rng = np.random.default_rng([traces, int(rate * 1000)])
    found = 0
    for _ in range(400):
        sizes = rng.poisson(traces * rng.uniform(0.2, 1.8, 24))  # traffic has its hours
        affected = rng.binomial(sizes, rate)
        found += bool(outliers(sizes.tolist(), affected.tolist(), least_ratio=1.0))
    # 400 ranges at 1%: more than 10 are less likely than 1 in 300.
    assert found / 400 <= LEVEL * 2.5


def test_an_outage_is_found_and_does_not_hide_another() -> None:
    traces, affected = [100] * 24, [2] * 24
    affected[5], affected[6], affected[17] = 90, 80, 15
    found = outliers(traces, affected, least_ratio=1.5)
    assert [one.step for one in found] == [5, 6, 17]
    assert all(one.usual == pytest.approx(0.02) and one.p_value <= LEVEL for one in found)


def test_a_step_that_is_sure_but_hardly_different_does_not_stand_out() -> None:
    traces, affected = [1_000_000] * 24, [30_000] * 24
    affected[3] = 31_500  # surely more, by a twentieth
    assert outliers(traces, affected, least_ratio=1.5) == []


def test_a_range_whose_steps_differ_by_themselves_is_not_all_spikes() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(50):  # hours from 6% to 14%, each surely different from the others
        affected = rng.binomial(5000, rng.normal(0.1, 0.02, 24).clip(0, 1))
        found += len(outliers([5000] * 24, affected.tolist(), least_ratio=1.0))
    assert found <= 5


def test_few_steps_have_no_usual() -> None:
    assert outliers([100] * 5, [0, 0, 0, 0, 100], least_ratio=1.5) == []
    assert outliers([0] * 24, [0] * 24, least_ratio=1.5) == []

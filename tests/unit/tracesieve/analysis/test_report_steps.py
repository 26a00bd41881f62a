"""Steps fit their range, and their numbers add up to it."""

from __future__ import annotations

import pytest

from rules.units import DAY_US, HOUR_US, MINUTE_US
from tracesieve.analysis.report_steps import MOST_STEPS, steps_of

T0 = 1_763_596_800_000_000  # a midnight


@pytest.mark.parametrize(
    ("range_us", "length_us", "number"),
    [
        (30 * MINUTE_US, MINUTE_US, 30),
        (HOUR_US, 5 * MINUTE_US, 12),
        (DAY_US, HOUR_US, 24),
        (7 * DAY_US, 6 * HOUR_US, 28),
        (30 * DAY_US, DAY_US, 30),
    ],
)
def test_the_step_fits_the_range(range_us: int, length_us: int, number: int) -> None:
    steps = steps_of(T0, T0 + range_us)
    assert (steps.length_us, steps.number) == (length_us, number)


def test_steps_begin_at_round_times_and_are_cut_off_by_the_range() -> None:
    steps = steps_of(T0 + 20 * MINUTE_US, T0 + 20 * MINUTE_US + DAY_US)
    assert steps.number == 25
    assert steps.edges_us(0) == (T0 + 20 * MINUTE_US, T0 + HOUR_US)
    assert steps.edges_us(1) == (T0 + HOUR_US, T0 + 2 * HOUR_US)
    assert steps.edges_us(24) == (T0 + DAY_US, T0 + DAY_US + 20 * MINUTE_US)


@pytest.mark.parametrize("range_us", [1, DAY_US * 400, DAY_US * 365 * 57])
def test_there_are_never_many(range_us: int) -> None:
    steps = steps_of(T0 - range_us, T0)
    assert 1 <= steps.number <= MOST_STEPS
    assert steps.edges_us(0)[0] == T0 - range_us
    assert steps.edges_us(steps.number - 1)[1] == T0

"""How much of the failures a set covers, and that the lower bound holds."""

from __future__ import annotations

import numpy as np
import pytest

from rules.selection import Candidate, Quotas, coverage, missing, select
from rules.selection.coverage import at_least

REPLAYS = 1000


def zipf(kinds: int, power: float) -> np.ndarray:
    weights = 1 / np.arange(1, kinds + 1) ** power
    return weights / weights.sum()


MODES = {
    "a few": np.array([0.9, 0.07, 0.02, 0.01]),
    "one that is rare": np.array([0.995, 0.005]),
    "many alike": np.full(60, 1 / 60),
    "a long tail": zipf(300, 1.3),
}


@pytest.mark.parametrize("modes", MODES.values(), ids=MODES.keys())
def test_sem_39_the_bound_holds_in_1000_replays_of_planted_failure_modes(modes: np.ndarray) -> None:
    rng = np.random.default_rng(20_260)
    held, bounds = 0, []
    for replay in range(REPLAYS):
        drawn = rng.choice(len(modes), 300, p=modes)
        found = coverage(
            [(f"{replay} {n}", f"p{mode}") for n, mode in enumerate(drawn)], {f"p{m}" for m in drawn}
        )
        assert found.share == 1.0 and found.at_least is not None
        bounds.append(found.at_least)
        held += modes[np.unique(drawn)].sum() >= found.at_least
    assert held >= 0.95 * REPLAYS
    assert min(bounds) > 0.5


def test_sem_39_the_bound_holds_for_sets_with_quotas_and_200_records_cover_95_percent() -> None:
    rng, modes = np.random.default_rng(3), zipf(80, 1.8)
    quotas = Quotas(total=200, per_day=None, per_pattern=20, per_rule=None, near_duplicates=None)
    held, covered = 0, []
    for replay in range(REPLAYS):
        drawn = rng.choice(len(modes), 250, p=modes).tolist()
        failures = [Candidate(f"{replay} {n}", 0, ("r",), f"p{mode}") for n, mode in enumerate(drawn)]
        kept = select(failures, quotas).kept
        assert len(kept) <= 200
        patterns = {one.pattern for one in failures if one.trace_id in kept}
        bound = coverage([(one.trace_id, one.pattern) for one in failures], patterns).at_least
        truth = sum(modes[int(one[1:])] for one in patterns)
        covered.append(truth)
        held += bound is not None and truth >= bound
    assert held >= 0.95 * REPLAYS
    assert np.mean(covered) >= 0.95


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    assert at_least(100, 100) == pytest.approx(0.05 ** (1 / 100))
    assert at_least(0, 10) == 0.0 == at_least(0, 0)
    assert at_least(90, 100) == pytest.approx(
        0.8363, abs=1e-4
    )  # R: binom.test(90, 100, alternative="greater")


def test_numbers_of_a_set_that_lacks_something() -> None:
    failures = [
        *((f"a{n}", "common") for n in range(60)),
        *((f"b{n}", "lacking") for n in range(40)),
        ("c", "once"),
    ]
    found = coverage(failures, {"common", "of another time"})
    assert (found.failures, found.patterns, found.share, found.unseen) == (101, 3, 60 / 101, 1 / 101)
    assert found.at_least is not None and 0.3 < found.at_least < 0.6
    assert coverage([], {"x"}).at_least is None


def test_what_is_frequent_and_missing_is_named() -> None:
    counts = {"there": 500, "b": 30, "a": 30, "c": 60, "too rare": 5}
    assert missing(counts, {"there"}) == [("c", 60), ("a", 30), ("b", 30)]

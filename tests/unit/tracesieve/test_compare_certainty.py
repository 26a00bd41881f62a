"""How sure a comparison is: tests beside scipy's own, intervals that cover, and few findings where nothing
changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rules.alerting.histogram import bucket_index
from rules.breakdown import Observed
from tracesieve.analysis.comparison import certainty
from tracesieve.analysis.comparison.changes import NOT_KNOWN, SURELY, Side, changes


def histogram(values: Any) -> Counter[int]:
    index, count = np.unique(bucket_index(np.asarray(values).astype(np.int64)), return_counts=True)
    return Counter(dict(zip(index.tolist(), count.tolist(), strict=True)))


def test_histograms_are_compared_as_mann_and_whitney_compare_their_values() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        before, after = (rng.integers(0, 12, rng.integers(10, 60)) for _ in range(2))
        p, share = certainty.histograms_differ(Counter(before.tolist()), Counter(after.tolist())) or (0, 0)
        whole = stats.mannwhitneyu(after, before, alternative="two-sided", method="asymptotic")
        assert p == pytest.approx(whole.pvalue)
        assert share == pytest.approx(whole.statistic / (len(before) * len(after)))
    assert certainty.histograms_differ({1: 9}, {1: 100}) is None
    assert certainty.histograms_differ({1: 10}, {1: 100}) == (1.0, 0.5)


def test_the_interval_of_a_difference_is_newcombe_s() -> None:
    """The example of his paper: 56 of 70 and 48 of 80."""
    assert certainty.difference_interval((48, 56), (80, 70)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert certainty.difference_interval((0, 0), (10, 0)) is None


def test_p_values_of_many_tests_are_adjusted() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert certainty.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert certainty.false_discovery(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert certainty.holm([]) == certainty.false_discovery([]) == []


def test_the_interval_of_a_ratio_of_quantiles_covers_it() -> None:
    rng = np.random.default_rng(5)
    for q in (0.5, 0.95):
        covered = 0
        for _ in range(400):
            ends = []
            for number, factor in ((150, 1.0), (250, 1.3)):
                values = np.sort(rng.lognormal(10, 1, number) * factor)
                low, high = certainty.quantile_ranks(number, q) or (1, number)
                ends.append((values[int(np.ceil(q * number)) - 1], (values[low - 1], values[high - 1])))
            low, high = certainty.ratio_interval(*ends) or (0.0, 0.0)
            covered += low <= 1.3 <= high
        assert covered >= 370  # of 400 at 95%: 380, and 370 is the 1% quantile
    assert certainty.quantile_ranks(20, 0.95) is None


def side(rng: np.random.Generator, traces: int, *, slower: float = 1.0, failing: float = 0.03) -> Side:
    """Three tools that a trace calls several times each; a slow trace is slow in all it does."""
    of_trace, found = rng.normal(0, 0.5, traces), {}
    for number in range(3):
        calls = rng.poisson(1.5, traces)
        there = calls > 0
        us = np.exp(rng.normal(13, 0.5, there.sum()) + of_trace[there]) * slower
        tokens = np.exp(rng.normal(7, 1, there.sum()) + of_trace[there])
        found["TOOL", f"tool {number}"] = Observed(
            traces=int(there.sum()),
            failed=int((rng.random(there.sum()) < failing).sum()),
            calls=Counter(calls[there].tolist()),
            histograms={
                "duration_us": histogram(us),
                "tokens_total": histogram(tokens),
                "cost_nusd": histogram(tokens * 1000),
            },
        )
    return Side(traces, found)


def test_where_nothing_changed_hardly_anything_is_found() -> None:
    """At most 5% of comparisons name anything, and at most 1% name it surely."""
    rng = np.random.default_rng(6)
    named = sure = 0
    runs = 150
    for _ in range(runs):
        rows = changes(*(side(rng, int(rng.integers(12, 300))) for _ in range(2)))
        assert len(rows) >= 3
        named += any(row["certainty"] != NOT_KNOWN for row in rows)
        sure += any(row["certainty"] == SURELY for row in rows)
    assert named <= stats.binom.ppf(0.999, runs, 0.05)
    assert sure <= stats.binom.ppf(0.999, runs, 0.01)


def test_calls_of_one_trace_taken_for_independent_would_find_much_where_nothing_is() -> None:
    """Why a trace counts once: the same tests on calls call chance a change."""
    rng = np.random.default_rng(7)
    false = 0
    for _ in range(200):
        sides = [np.repeat(rng.normal(13, 0.5, 40), 8) + rng.normal(0, 0.1, 320) for _ in range(2)]
        p, _ = certainty.histograms_differ(*(histogram(np.exp(one)) for one in sides)) or (1, 0)
        false += p <= 0.05
    assert false > 60


def test_what_changed_is_found_with_its_size() -> None:
    rng = np.random.default_rng(8)
    rows = changes(side(rng, 800), side(rng, 600, slower=1.4, failing=0.12))
    listed = {(row["what"], row["span_name"]): row for row in rows if row["listed"]}
    for number in range(3):
        slower, failing = (listed[what, f"tool {number}"] for what in ("duration_p50", "failing"))
        assert (slower["words"], slower["certainty"]) == ("slower", SURELY)
        assert (failing["words"], failing["certainty"]) == ("fails more", SURELY)
        assert slower["interval"][0] < 0.4 < slower["interval"][1]
        assert failing["interval"][0] < 0.09 < failing["interval"][1]
    sure = {row["what"] for row in rows if row["certainty"] == SURELY}
    assert sure == {"duration_p50", "duration_p95", "failing"}
    assert rows[0]["listed"]
    assert not rows[-1]["listed"]


def test_a_kind_of_span_that_is_new_or_gone_is_named() -> None:
    rng = np.random.default_rng(9)
    before, after = side(rng, 300), side(rng, 300)
    less = Side(300, {label: one for label, one in after.by_label.items() if label[1] != "tool 0"})
    for sides, words in (((before, less), "gone"), ((less, before), "new")):
        found = [row for row in changes(*sides) if row["listed"]]
        assert [(row["what"], row["span_name"], row["words"]) for row in found] == [
            ("calls", "tool 0", words)
        ]
    assert changes(Side(0, {}), Side(0, {})) == []

"""A history kept as data comes says what one fold over everything says; sums over windows are those of the
minutes.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.alerting.fold import Fold
from rules.alerting.histogram import add, bucket_index
from rules.alerting.sums import MEASURED, QUANTILES, Window, sums_of
from rules.alerting.verdicts import history
from rules.alerting.windows import GivenWindows, Minutes
from rules.kinds.window import WindowRule
from rules.rule_set import build, parse_rule
from rules.units import MINUTE_US as MINUTE

LAST = 400
RULES: list[WindowRule] = []
for item in (
    {"fire": "error_rate > 0.3"},
    {"fire": "error_rate > 0.3", "for": "3m", "clear": "error_rate < 0.1", "min_traces": 2},
    {"fire": "p95_ms > 5 AND traces > 1", "keep_firing_for": "4m"},
    {"fire": "tokens > 3 OR p50_ms > 10", "window": {"size": "10m", "every": "3m"}},
):
    made = build(parse_rule({"id": "r", "window": {"size": "3m"}, **item}))
    assert isinstance(made, WindowRule)
    RULES.append(made)

Trace = tuple[int, bool, int, int]  # minute, error, duration ms, weight
# Traffic in bursts, so that silences of every length occur beside it.
traces: st.SearchStrategy[Trace] = st.tuples(
    st.one_of(st.integers(0, 40), st.integers(60, 80), st.integers(0, LAST - 1)),
    st.booleans(),
    st.sampled_from([1, 4, 6, 20]),
    st.just(1),
)


def partial(trace: Trace) -> tuple[int, list[int], list[int], list[int]]:
    minute, error, ms, weight = trace
    sums = {
        "traces": weight,
        "errors": weight * error,
        "tokens_total": weight * ms,
        "tokens_total_known": weight,
    }
    return minute * MINUTE, [sums.get(name, 0) for name in MEASURED], [bucket(ms)], [weight]


def bucket(ms: int) -> int:
    import numpy as np

    return int(bucket_index(np.array([ms * 1000]))[0])


def brute(rule: WindowRule, given_traces: list[Trace], instants: range) -> dict[int, Window]:
    """The windows of a grid, each summed up trace by trace."""
    found = {}
    for instant in instants:
        inside = [one for one in given_traces if instant - rule.size_us <= one[0] * MINUTE < instant]
        counts: dict[int, int] = {}
        for _, _, ms, weight in inside:
            add(counts, [bucket(ms)], [weight])
        total = sum(one[3] for one in inside)
        if total:
            window = Window(
                total,
                sum(one[3] * one[1] for one in inside),
                counts,
                sum(one[3] * one[2] for one in inside),
                total,
            )
            found[instant] = window
    return found


def grid(rule: WindowRule, through: int) -> range:
    return range(rule.every_us, through * MINUTE + 1, rule.every_us)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(RULES),
    st.lists(
        st.tuples(st.lists(traces, max_size=12), st.integers(0, 60), st.booleans()), min_size=1, max_size=8
    ),
)
def test_sem_15_any_order_of_arrival_gives_the_history_of_one_fold(rule: WindowRule, steps: Any) -> None:
    minutes, fold, so_far, through = Minutes(), Fold(rule, 0), [], 0
    for arrived, more, withdraw in steps:
        new = [*arrived, *([(*so_far[0][:3], -1)] if withdraw and so_far else [])]
        if withdraw and so_far:
            so_far = so_far[1:]
        for trace in new:
            minutes.add(*partial(trace))
        so_far += arrived
        through = min(through + more, LAST)
        touched = (min(t[0] for t in new) * MINUTE, max(t[0] for t in new) * MINUTE) if new else None
        fold.advance(minutes, through * MINUTE, touched)
        whole = grid(rule, through)
        assert fold.changes == history(rule, GivenWindows(brute(rule, so_far, whole)), whole)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RULES),
    st.lists(traces, min_size=1, max_size=30),
    st.lists(traces, max_size=10),
    st.integers(1, LAST),
)
def test_sem_10_what_is_frozen_stays_and_the_rest_follows(
    rule: WindowRule, early: list[Trace], late: list[Trace], frozen: int
) -> None:
    minutes, fold = Minutes(), Fold(rule, 0)
    for trace in early:
        minutes.add(*partial(trace))
    fold.advance(minutes, LAST * MINUTE)
    before = [change for change in fold.changes if change.instant_us < frozen * MINUTE]
    lowest = min((t[0] for t in late), default=LAST) * MINUTE
    eager = Fold(rule, 0)
    eager.advance(minutes, LAST * MINUTE)
    for one in (eager, fold):  # late data may also lie before what is frozen already
        one.freeze(minutes, frozen // 2 * MINUTE)
    eager.freeze(minutes, frozen * MINUTE)
    fold.freeze(minutes, frozen * MINUTE, lowest)
    for trace in late:
        minutes.add(*partial(trace))
    if late:
        for one in (eager, fold):
            one.advance(minutes, LAST * MINUTE, (lowest, max(t[0] for t in late) * MINUTE))
    base = eager.base_us
    assert base < frozen * MINUTE
    assert base + rule.every_us >= min(frozen * MINUTE, LAST * MINUTE // rule.every_us * rule.every_us)
    assert [change for change in eager.changes if change.instant_us < frozen * MINUTE] == before
    after = range(base + rule.every_us, LAST * MINUTE + 1, rule.every_us)
    expected = history(rule, GivenWindows(brute(rule, early + late, after)), after, eager.base_state)
    assert [change for change in eager.changes if change.instant_us > base] == expected
    assert fold.changes == eager.changes  # freezing only where it matters is freezing


@settings(max_examples=100, deadline=None)
@given(
    st.lists(traces, max_size=20),
    st.sampled_from([1, 3, 10]),
    st.integers(0, 50),
    st.integers(1, LAST),
    st.integers(1, 3),
)
def test_sem_9_sums_and_quantiles_over_windows_are_those_of_the_traces(
    given_traces: list[Trace], size: int, first: int, number: int, every: int
) -> None:
    minutes = Minutes()
    for trace in given_traces:
        minutes.add(*partial(trace))
    rule = build(parse_rule({"id": "r", "window": {"size": f"{size}m"}, "fire": "traces > 1"}))
    assert isinstance(rule, WindowRule)
    instants = range(first * MINUTE, (first + number) * MINUTE, every * MINUTE)
    at, found = minutes.read(rule.size_us, instants, QUANTILES)
    expected = brute(rule, given_traces, instants)
    assert at == list(expected)
    wanted = sums_of(list(expected.values()))
    assert found.rows.tolist() == wanted.rows.tolist()
    assert found.rows.shape[1] == len(MEASURED)
    for name in QUANTILES if at else ():
        assert found.quantiles[name].tolist() == wanted.quantiles[name].tolist()

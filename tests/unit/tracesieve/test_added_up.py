"""Breakdowns of facts added up, those of one layout together: the same as one by one, whatever is in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.alerting.histogram import bucket_index
from rules.breakdown import (
    AMOUNTS,
    MOST_PAIRS,
    OTHER,
    SUMS,
    Entries,
    Observations,
    Pair,
    Total,
    restored,
    stored,
    totals,
)
from tracesieve.analysis import added_up as room
from tracesieve.analysis.added_up import added_up

TYPES, NAMES = ["AGENT", "TOOL"], ["", "other", "search"]
TIMES = st.sampled_from([0, 1, 7, 1_000_000, 2**43])
AMOUNT = st.sampled_from([-1, -1, 0, 3, 2**61])


@st.composite
def entry(draw: st.DrawFn) -> dict[str, Any]:
    """An entry of a trace, with the durations of its calls."""
    took = draw(st.lists(TIMES, min_size=1, max_size=3))
    timed = draw(st.sampled_from([True, True, True, False]))
    self_us = draw(TIMES)
    return {
        "took": took if timed else [],
        "calls": len(took),
        "errors": draw(st.sampled_from([0, 0, 1])),
        "total_us": sum(took) if timed else -1,
        "self_us": self_us,
        "critical_us": draw(st.sampled_from([0, self_us])),
        "parallel_us": draw(st.sampled_from([0, 0, 5])),
        **{name: draw(AMOUNT) for name in AMOUNTS},
    }


@st.composite
def traces(draw: st.DrawFn) -> list[list[tuple[int, int, dict[str, Any]]]]:
    """Traces of few shapes, so that some are alike: (type, name, entry) each."""
    pair = st.tuples(st.integers(0, len(TYPES) - 1), st.integers(0, len(NAMES) - 1))
    shapes = draw(st.lists(st.lists(pair, unique=True, max_size=3), min_size=1, max_size=3))
    found = []
    for _ in range(draw(st.integers(0, 8))):
        shape = draw(st.sampled_from(shapes))
        found.append([(kind, name, draw(entry())) for kind, name in sorted(shape)])
    return found


def facts(of_traces: list[list[tuple[int, int, dict[str, Any]]]]) -> pl.DataFrame:
    """The facts as a batch stores them."""
    rows = [(owner, *one) for owner, trace in enumerate(of_traces) for one in trace]
    buckets = []
    for place, (_, _, _, one) in enumerate(rows):
        if one["calls"] > 1 and one["took"]:
            index, count = np.unique(bucket_index(np.array(one["took"])), return_counts=True)
            buckets += [(place, *pair) for pair in zip(index.tolist(), count.tolist(), strict=True)]
    found = Entries(
        owners=np.array([row[0] for row in rows], np.int64),
        pairs=np.array([row[1:3] for row in rows], np.int64).reshape(-1, 2),
        types=TYPES,
        names=NAMES,
        sums=np.array([[row[3][name] for row in rows] for name in SUMS], np.int64),
        buckets=np.array(buckets, np.int64).reshape(-1, 3),
    )
    kept = stored(found, len(of_traces))
    return pl.DataFrame({name: pl.Series(column) for name, column in kept.items()})


def one_by_one(frame: pl.DataFrame) -> dict[Pair, Total]:
    found: dict[Pair, Total] = {}
    for row in range(frame.height):
        oldest = pl.CompatLevel.oldest()
        keys, sums = (frame[name].slice(row, 1).to_arrow(compat_level=oldest) for name in frame.columns)
        totals(restored(keys, sums), found)
    return found


@pytest.mark.parametrize("few", [1, 2, 1000])
def test_traces_of_one_layout_together_come_to_the_same_as_one_by_one(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_FEW", few)
    monkeypatch.setattr(room, "AT_ONCE", 3)

    @settings(max_examples=50, deadline=None)
    @given(traces())
    @example([])
    @example([[]])
    def check(of_traces: list[list[tuple[int, int, dict[str, Any]]]]) -> None:
        frame = facts(of_traces)
        assert added_up(frame) == one_by_one(frame)

    check()


def test_sums_that_do_not_fit_64_bits_are_still_added_up() -> None:
    one = {"took": [5], "calls": 1, "total_us": 5, **dict.fromkeys(("self_us", "critical_us"), 5)}
    one |= {"errors": 0, "parallel_us": 0, **dict.fromkeys(AMOUNTS, 2**61)}
    frame = facts([[(0, 0, one)]] * 400)
    (total,) = added_up(frame).values()
    assert total.sums["tokens_total"] == 400 * 2**61
    assert total.sums["total_us"] == 2000


def test_names_that_are_as_many_as_traces_are_bounded_and_nothing_is_lost() -> None:
    """A name with an id in it, as tracers write them; the one that every trace has stays as it is."""
    traces, r = 6_000, np.random.default_rng(3)
    took = r.integers(1, 10**6, 2 * traces)
    sums = np.zeros((len(SUMS), 2 * traces), np.int64)
    sums[SUMS.index("calls")] = 1
    sums[[SUMS.index(name) for name in ("total_us", "self_us", "critical_us")]] = took
    sums[[SUMS.index(name) for name in AMOUNTS]] = -1
    pairs = np.zeros((2 * traces, 2), np.int64)
    pairs[:, 1] = np.column_stack([np.zeros(traces), 1 + np.arange(traces)]).ravel()
    names = ["answer", *(f"step {number:05}" for number in range(traces))]
    owners = np.repeat(np.arange(traces), 2)
    entries = Entries(owners, pairs, ["TOOL"], names, sums, np.zeros((0, 3), np.int64))
    frame = pl.DataFrame({name: pl.Series(column) for name, column in stored(entries, traces).items()})
    found = added_up(frame)
    assert len(found) <= MOST_PAIRS + 1
    assert found["TOOL", "answer"].sums["total_us"] == took[::2].sum()
    assert sum(total.sums["total_us"] for total in found.values()) == took.sum()
    assert sum(total.timed for total in found.values()) == 2 * traces
    assert found["TOOL", OTHER].sums["calls"] >= traces - MOST_PAIRS
    seen = Observations()
    room.unpacked(frame, seen.add_alike, seen.add)
    assert len(seen.by_label) <= MOST_PAIRS + 1
    assert seen.by_label["TOOL", "answer"].traces == seen.by_label["TOOL", None].traces == traces
    assert seen.by_label["TOOL", None].calls == {2: traces}

"""Breakdowns of generated traces beside a slow calculation, in any order, beside any other trace."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from support import breakdown_oracle as oracle
from support.breakdown_lists import lists
from support.breakdown_oracle import Span

from rules.breakdown import Spans, breakdown_columns, read_spans
from rules.matcher import raw_table
from rules.matcher.batch import Batch
from store.schemas import TRACES

# Few times and few parents, so that spans often touch, overlap and hang below one another.
_TIMES = st.sampled_from([None, 0, *range(9), *range(9)])


@st.composite
def traces(draw: st.DrawFn, most: int = 8) -> list[Span]:
    """Spans with any parents: unknown ones, themselves, each other's; times that miss, cross or turn back."""
    size = draw(st.integers(0, most))
    ids = [f"s{number}" for number in range(size)]
    return [
        Span(
            span_id=own,
            parent_id=draw(st.sampled_from([*ids[:2], *ids[:2], *ids, None, "", "gone"])),
            start=draw(_TIMES),
            end=draw(_TIMES),
            name=draw(st.sampled_from(["a", "b"])),
            tokens=draw(st.sampled_from([None, 0, 1, 2, 5])),
        )
        if number
        else Span(own, draw(st.sampled_from([None, None, None, ids[-1]])), 0, draw(st.integers(6, 9)))
        for number, own in enumerate(ids)
    ]


def read(*of_traces: list[Span]) -> tuple[Spans, list[list[dict[str, Any]]]]:
    """Whatever the ids: short and the same in all traces, or long and each there once. Their order is the
    same: it decides between spans that ran at the same time.
    """
    short = [oracle.as_row(f"t{number}", spans) for number, spans in enumerate(of_traces)]
    long = [
        oracle.as_row(f"t{number}", spans, lambda name, number=number: f"{number:012}{name:!<4}")
        for number, spans in enumerate(of_traces)
    ]
    tables = [pa.Table.from_pylist(rows, schema=TRACES) for rows in (short, long)]
    found = [read_spans(Batch(raw_table(table, breakdown_columns))) for table in tables]
    made = [lists(spans, len(of_traces)) for spans in found]
    assert made[0] == made[1]
    return found[0], made[0]


@settings(deadline=None, max_examples=200)
@given(traces())
def test_sem_34_35_every_time_and_amount_is_that_of_a_slow_calculation(spans: list[Span]) -> None:
    found, _ = read(spans)
    critical = oracle.critical_us(oracle.linked(spans))
    assert found.duration_us.tolist() == [len(one.micros) for one in spans]
    assert found.self_us.tolist() == [oracle.self_us(one) for one in spans]
    assert found.parallel_us.tolist() == [oracle.parallel_us(one) for one in spans]
    assert found.critical_us.tolist() == [critical.get(id(one), 0) for one in spans]
    own = [None if one.tokens is None else oracle.used(one)[0] for one in spans]
    assert [None if used != used else used for used in found.used["tokens_total"]] == own


@settings(deadline=None)
@given(traces())
def test_sem_34_self_times_add_up_to_the_roots_and_what_ran_at_once_or_outside(spans: list[Span]) -> None:
    """Exactly: the durations of the roots, what ran beside a sibling, and what ran outside its parent."""
    found, _ = read(spans)
    roots = oracle.linked(spans)
    outside = sum(len(one.micros - one.parent.micros) for one in spans if one.parent)
    expected = sum(len(one.micros) for one in roots) + int(found.parallel_us.sum()) + outside
    assert int(found.self_us.sum()) == expected


@settings(deadline=None)
@given(st.lists(traces(most=6), max_size=5), st.randoms(use_true_random=False))
def test_sem_34_order_and_company_make_no_difference(of_traces: list[list[Span]], rng: random.Random) -> None:
    """All traces use the same ids, so that one could be taken for another's parent."""
    together = read(*of_traces)[1]
    assert together == [read(spans)[1][0] for spans in of_traces]
    shuffled = [rng.sample(spans, len(spans)) for spans in of_traces]
    assert read(*shuffled)[1] == together


@settings(deadline=None)
@given(traces(most=30))
def test_entries_add_up_to_the_spans(spans: list[Span]) -> None:
    found, of_traces = read(spans)
    of_trace = of_traces[0]
    assert sum(one["calls"] for one in of_trace) == len(spans)
    for name in ("self_us", "critical_us", "parallel_us"):
        assert sum(one[name] for one in of_trace) == int(getattr(found, name).sum())
    timed = sum(one.start is not None and one.end is not None for one in spans)
    counted = [sum(one["bucket_count"]) or one["calls"] * (one["total_us"] is not None) for one in of_trace]
    assert sum(counted) == timed

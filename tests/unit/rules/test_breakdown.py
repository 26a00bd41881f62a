"""Breakdowns of single traces: bounds, roll-ups, and what no tracer should write."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest
from support import breakdown_oracle as oracle
from support.breakdown_lists import lists
from support.breakdown_oracle import Span

from rules.alerting.histogram import bucket_index
from rules.breakdown import (
    MOST_ENTRIES,
    Spans,
    breakdown_columns,
    disagreement,
    read_spans,
    spans_usage,
)
from rules.matcher import raw_table
from rules.matcher.batch import Batch
from store.schemas import TRACES


def read(*of_traces: list[Span]) -> tuple[Spans, list[list[dict[str, Any]]]]:
    rows = [oracle.as_row(f"t{number}", spans) for number, spans in enumerate(of_traces)]
    batch = Batch(raw_table(pa.Table.from_pylist(rows, schema=TRACES), breakdown_columns))
    spans = read_spans(batch)
    return spans, lists(spans, len(rows))


def by_name(of_trace: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in of_trace}


def test_sem_34_a_trace_in_which_two_tools_ran_at_once() -> None:
    """agent 0–100 waits for the slower tool (30–80), not for the faster (30–50)."""
    found = by_name(
        read(
            [
                Span("r", None, 0, 100, "agent", "AGENT"),
                Span("a", "r", 30, 50, "fast"),
                Span("b", "r", 30, 80, "slow", status="STATUS_CODE_ERROR"),
            ]
        )[1][0]
    )
    times = {name: (one["self_us"], one["critical_us"], one["parallel_us"]) for name, one in found.items()}
    assert times == {"agent": (50, 50, 20), "fast": (20, 0, 0), "slow": (50, 50, 0)}
    assert {name: one["errors"] for name, one in found.items()} == {"agent": 0, "fast": 0, "slow": 1}


def test_one_call_has_no_histogram_and_several_have_one() -> None:
    spans = [Span("r", None, 0, 100, "agent", "AGENT")]
    spans += [Span(f"c{i}", "r", 10 * i, 10 * i + i + 1, "call") for i in range(3)]
    found = by_name(read(spans)[1][0])
    assert (found["agent"]["total_us"], found["agent"]["bucket_index"]) == (100, [])
    assert (found["call"]["calls"], found["call"]["total_us"]) == (3, 6)
    expected = [int(bucket_index(pa.array([took]).to_numpy())[0]) for took in (1, 2, 3)]
    assert found["call"]["bucket_index"] == expected
    assert found["call"]["bucket_count"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("agent", "calls", "own", "total"),
    [
        (30, [10, 20], 0, 30),  # a roll-up: nothing is counted twice
        (None, [10, 20], None, 30),  # only the calls report
        (30, [None, None], 30, 30),  # only the agent does
        (30, [10, None], 20, 30),  # one call does not: the rest is the agent's
        (5, [10, 20], 0, 30),  # a roll-up that knows only part of it
    ],
)
def test_sem_35_what_an_agent_reports_for_its_calls_is_not_counted_twice(
    agent: int | None, calls: list[int | None], own: int | None, total: int
) -> None:
    spans = [Span("r", None, 0, 100, "agent", "AGENT", tokens=agent), Span("m", "r", 0, 90, "chain", "CHAIN")]
    spans += [Span(f"c{i}", "m", i, i + 1, f"call{i}", "LLM", tokens=one) for i, one in enumerate(calls)]
    found, of_traces = read(spans)
    assert by_name(of_traces[0])["agent"]["tokens_total"] == own
    assert spans_usage(found.used, found.owners, 1)["tokens_total"].to_pylist() == [total]


def test_sem_35_a_trace_that_says_other_than_its_spans_disagrees() -> None:
    def amounts(total: list[int | None], cost: list[int | None]) -> dict[str, pa.Array]:
        parts = {f"tokens_{name}": pa.array(total, pa.int64()) for name in ("input", "output", "total")}
        return {**parts, "cost_nusd": pa.array(cost, pa.int64())}

    trace = amounts([30, 60, 30, None, 30], [None, None, 5_000_000, 7, 5_000_000])
    spans = amounts([30, 30, None, 30, 30], [9, None, 5_000_999, None, 5_001_001])
    assert disagreement(trace, spans).to_pylist() == [False, True, False, None, True]


def test_sem_34_more_names_than_are_kept_are_added_up_by_type() -> None:
    spans = [Span("r", None, 0, 10_000, "agent", "AGENT")]
    spans += [Span(f"t{i:03}", "r", i * 10, i * 10 + 1 + i % 7, f"tool {i:03}") for i in range(200)]
    spans += [Span(f"o{i}", "r", 9000 + i, 9000 + i, f"x{i}", f"Own type {i}") for i in range(50)]
    found, of_traces = read(spans, [Span("r", None, 0, 5)])
    of_trace = of_traces[0]
    assert len(of_trace) == MOST_ENTRIES + 2
    assert sum(one["calls"] for one in of_trace) == len(spans)
    assert sum(one["self_us"] for one in of_trace) == int(found.self_us[: len(spans)].sum())
    others = {one["type"]: one["calls"] for one in of_trace if one["name"] == "other"}
    assert others == {"TOOL": 200 - (MOST_ENTRIES - 1), "other": 50}
    assert len(of_traces[1]) == 1


def test_long_names_and_types_are_cut_and_missing_ones_have_a_word() -> None:
    rows = [oracle.as_row("t", [Span("r", None, 0, 5, "n" * 5_000, "T" * 5_000), Span("s", "r", 0, 5)])]
    rows[0]["spans"][1] |= {"name": None, "attributes": []}
    batch = Batch(raw_table(pa.Table.from_pylist(rows, schema=TRACES), breakdown_columns))
    found = lists(read_spans(batch), 1)[0]
    assert [(one["type"], one["name"]) for one in found] == [("T" * 64, "n" * 128), ("UNKNOWN", "")]


def test_spans_of_one_id_and_without_an_id_harm_nobody() -> None:
    good = [Span("r", None, 0, 100, "agent"), Span("a", "r", 0, 60, "tool")]
    odd = [
        Span("r", None, 0, 50, "agent"),
        Span("r", None, 0, 100, "agent"),  # began as early and ran longer: the parent
        Span(None, "r", 0, 60, "tool"),
        Span(None, None, 0, 10, "lost"),
        Span("x", "x", 0, 10, "own parent"),
    ]
    alone, beside = read(good)[1][0], read(odd, good, odd)[1]
    assert beside[1] == alone
    assert by_name(beside[0])["agent"]["self_us"] == 50 + 40
    assert beside[0] == beside[2] == read(odd[::-1])[1][0]


@pytest.mark.parametrize(("start", "end"), [(None, 5), (5, None), (-(10**15), 10**17), (10**17, -(10**17))])
def test_absurd_times_are_unknown_or_nothing(start: int | None, end: int | None) -> None:
    spans = [
        Span("r", None, 0, 100, "agent"),
        Span("a", "r", start, end, "odd"),
        Span("b", "a", 20, 50, "tool"),
    ]
    found = by_name(read(spans)[1][0])
    assert found["odd"]["total_us"] in (None, 0)
    assert (found["odd"]["self_us"], found["odd"]["critical_us"]) == (0, 0)
    assert (found["agent"]["self_us"], found["tool"]["self_us"]) == (100, 30)


def test_thirty_thousand_spans_take_seconds_whatever_their_shape() -> None:
    many = 30_000
    chain = [
        Span(f"s{i}", f"s{i - 1}" if i else None, i, 2 * many - i, f"n{i}", tokens=i) for i in range(many)
    ]
    star = [Span("r", None, 0, many)] + [Span(f"s{i}", "r", i, i + 1 + i % 2) for i in range(many)]
    ring = [Span(f"s{i}", f"s{(i + 1) % many}", i, i + 1) for i in range(many)]
    began = time.process_time()
    _, of_traces = read(chain, star, ring)
    assert time.process_time() - began < 10
    assert [sum(one["calls"] for one in of_trace) for of_trace in of_traces] == [many, many + 1, many]
    assert sum(one["critical_us"] for one in of_traces[0]) == 2 * many


def test_no_spans_and_no_columns() -> None:
    assert read([], [])[1] == [[], []]
    assert read()[1] == []
    table = raw_table(pa.table({"trace_id": ["t"]}), breakdown_columns)
    assert lists(read_spans(Batch(table)), 1) == [[]]

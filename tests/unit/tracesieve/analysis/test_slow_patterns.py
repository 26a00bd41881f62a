"""Slow patterns: which span a slow trace counts for, and what is not known."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from tracesieve.analysis.measures import measures, with_buckets
from tracesieve.analysis.slow_patterns import slow_patterns

KEPT = 1 << 2 | 1 << 3  # total and self; critical time is the same as self time


def trace(name: str, took_us: int, spans: dict[str, int] | None) -> dict[str, Any]:
    """A trace and the self time of each of its spans; None: an earlier version counted it."""
    keys = sums = None
    if spans is not None:
        keys = json.dumps([["TOOL", one] for one in spans])
        numbers = [len(spans) << 10 | KEPT, *spans.values(), *spans.values()]
        sums = b"".join(one.to_bytes(8, "little") for one in numbers)
    return {"trace_id": name, "duration_us": took_us, "span_keys": keys, "span_sums": sums}


def of(*slow: dict[str, Any]) -> dict[str, Any]:
    quick = [trace(f"q{n}", 1000, {"quick": 1000}) for n in range(400)]
    amounts = dict.fromkeys(("input", "output", "total", "cache_read", "cache_write"))
    schema = {"trace_id": pl.String, "duration_us": pl.Int64, "span_keys": pl.String, "span_sums": pl.Binary}
    frame = pl.DataFrame([*quick, *slow], schema=schema).with_columns(
        *(pl.lit(None, pl.Int64).alias(f"tokens_{kind}") for kind in amounts),
        error=pl.lit(False),
        cost_nusd=pl.lit(None, pl.Int64),
    )
    facts = with_buckets(frame)
    return slow_patterns(facts, measures(facts, [])[()]["p95_ms"])


def test_a_slow_trace_counts_for_the_span_that_takes_the_most() -> None:
    found = of(
        trace("a", 9000, {"search": 7000, "answer": 2000}),
        trace("b", 8000, {"search": 5000, "answer": 3000}),
        trace("c", 7000, {"search": 1000, "answer": 6000}),
    )
    assert found["slow"]["traces"] == 3
    search, answer = found["slow_patterns"]
    assert (search["span_name"], search["traces"], search["samples"]) == ("search", 2, ["a", "b"])
    assert search["critical_share"] == 12_000 / 17_000
    assert (answer["span_name"], answer["traces"], answer["share"]) == ("answer", 1, 1 / 3)


def test_a_wrapper_is_named_only_where_nothing_else_took_time() -> None:
    found = of(
        trace("a", 9000, {"app.Predict": 8000, "search": 1000}),
        trace("b", 8000, {"forward": 8000, "search": 0}),
    )
    names = {row["span_name"]: row["samples"] for row in found["slow_patterns"]}
    assert names == {"search": ["a"], "forward": ["b"]}


def test_of_what_is_not_known_the_number_is_given() -> None:
    found = of(trace("old", 9000, None), trace("none", 9000, {}), trace("a", 9000, {"search": 9000}))
    assert found["slow"]["traces"] == 3
    assert found["slow"]["unknown"] == 2
    assert [row["traces"] for row in found["slow_patterns"]] == [1]


def test_where_all_take_as_long_none_is_slow() -> None:
    assert of() == {
        "slow_patterns": [],
        "slow": {"traces": 0, "above_ms": of()["slow"]["above_ms"], "unknown": 0},
    }

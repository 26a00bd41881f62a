"""What stands is the same in one batch, in many, in any order, repeated and amended: against a reference of
ten lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from store import net_facts
from store.schemas import FACTS
from store.windows import merge, partials
from streams.batch.classify import classify
from streams.batch.match import NARROW
from streams.batch.resolve import resolve

NOW = 10_000_000_000_000
COLUMNS = NARROW.append(pa.field("arrived_us", pa.int64()))


@dataclass(frozen=True)
class Event:
    """One row of a source: the latest change inside it, and which of the contents with that change it is."""

    trace: str
    change: int
    variant: int

    @property
    def hash(self) -> int:
        return self.change * 10 + self.variant

    @property
    def left_out(self) -> bool:
        return self.variant == 3


def events(variants: int) -> st.SearchStrategy[list[Event]]:
    one = st.builds(Event, st.sampled_from("ab"), st.integers(1, 3), st.integers(1, variants))
    return st.lists(one, min_size=1, max_size=14)


def row(event: Event, arrived: int, dated: bool) -> dict[str, Any]:
    return {
        "trace_id": event.trace,
        "experiment": "x",
        "group": ["x"],
        "start_us": NOW - 10**9,
        "state": "OK",
        "duration_ms": float(1000 * event.change + event.variant),
        "content_hash": event.hash,
        "change_us": event.change,
        "source_run": "run" if event.left_out else None,
        "hits": [{"rule": "r", "hash": "r"}] * (event.variant % 2),
        "arrived_us": arrived,
        "landed_us": arrived if dated else None,
    }


def play(
    batches: list[list[dict[str, Any]]], known: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The facts that stand and the windows after these batches, and the windows that all their facts make."""
    known = pl.DataFrame(FACTS.empty_table()) if known is None else known
    for number, batch in enumerate(batch for batch in batches if batch):
        frame = pl.DataFrame(pa.Table.from_pylist(batch, schema=COLUMNS))
        ready = classify(
            frame,
            group_by=["experiment"],
            now_us=NOW,
            horizon_us=NOW,
            verdicts_through_us=0,
            include_evaluation=False,
        ).ready
        own = resolve(ready, known).facts
        own = own.with_columns(
            pl.lit("s").alias("stream_id"), pl.lit(number, dtype=pl.Int64).alias("batch_id")
        )
        known = pl.concat([known, own.select(known.columns)])
    weights = known.group_by("trace_id", "content_hash").agg(pl.col("weight").sum())["weight"]
    assert weights.is_in([0, 1]).all()
    return net_facts(known).sort("trace_id"), merge(partials(known.filter(pl.col("weight") != 0), ["r"]))


def split(rows: list[Any], cuts: list[int]) -> list[list[Any]]:
    at = [0, *sorted({cut % (len(rows) + 1) for cut in cuts}), len(rows)]
    return [rows[a:b] for a, b in pairwise(at)]


def answer(stands: pl.DataFrame) -> dict[str, int]:
    assert stands["trace_id"].is_unique().all()
    return dict(stands.select("trace_id", "content_hash").iter_rows())


def in_order_of_commits(rows: list[Event]) -> dict[str, int]:
    """SEMANTICS 2 and 5, one row after the other."""
    heads: dict[str, Event] = {}
    seen: set[Event] = set()
    for event in rows:
        head = heads.get(event.trace)
        if head is None or event.change > head.change or (event.change == head.change and event not in seen):
            heads[event.trace] = event
        seen.add(event)
    return {trace: head.hash for trace, head in heads.items() if not head.left_out}


def check(parts: list[list[dict[str, Any]]], expected: dict[str, int]) -> None:
    stands, windows = play(parts)
    assert answer(stands) == expected
    one, whole = play([[row for part in parts for row in part]])
    assert one.select("trace_id", "content_hash", "end_us", "hits").equals(
        stands.select("trace_id", "content_hash", "end_us", "hits")
    )
    assert windows.equals(whole)


@settings(max_examples=25, deadline=None)
@given(events(variants=3), st.lists(st.integers(0, 30), max_size=5))
def test_sem_02_05_28_any_split_in_the_order_of_commits_ties_included(
    rows: list[Event], cuts: list[int]
) -> None:
    made = [row(event, 10 + at, dated=False) for at, event in enumerate(rows)]
    check(split(made, cuts), in_order_of_commits(rows))


@settings(max_examples=25, deadline=None)
@given(events(variants=1), st.lists(st.integers(0, 30), max_size=5), st.randoms(use_true_random=False))
def test_sem_02_28_any_order_when_no_two_contents_tie(
    rows: list[Event], cuts: list[int], random: Any
) -> None:
    latest = {event.trace: max(e.hash for e in rows if e.trace == event.trace) for event in rows}
    random.shuffle(rows)
    check(split([row(event, 10 + at, dated=False) for at, event in enumerate(rows)], cuts), latest)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(events(variants=3).map(lambda found: found[0]), st.integers(1, 5)), min_size=1, max_size=12
    ),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_sem_02_28_any_order_and_split_when_rows_say_when_they_were_written(
    rows: list[tuple[Event, int]], cuts: list[int]
) -> None:
    last = {e.trace: max((f.change, at, f.hash, f) for f, at in rows if f.trace == e.trace) for e, _ in rows}  # type: ignore[type-var]
    expected = {trace: found[2] for trace, found in last.items() if not found[3].left_out}
    check(split([row(event, at, dated=True) for event, at in rows], cuts), expected)


@settings(max_examples=25, deadline=None)
@given(events(variants=3), st.lists(st.integers(0, 30), max_size=5))
def test_sem_08_28_a_source_read_again_against_its_own_facts_adds_nothing(
    rows: list[Event], cuts: list[int]
) -> None:
    made = [row(event, 10 + at, dated=False) for at, event in enumerate(rows)]
    stands, _ = play([*split(made, cuts), *split(made, cuts[::-1])])
    assert answer(stands) == in_order_of_commits(rows)

"""What stands of a facts changelog: amendments, and rules applied to the past, which leave the content."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from support.made_facts import fact

from store import NETTED, net_facts
from store.schemas import FACTS

BAD, SLOW = {"rule": "bad", "hash": "h1"}, {"rule": "slow", "hash": "h2"}


def standing(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    stored = [{"stream_id": "s", "batch_id": number, **row} for number, row in enumerate(rows)]
    frame = pl.DataFrame(pa.Table.from_pylist(stored, schema=FACTS))
    return net_facts(frame).select("trace_id", "content_hash", "hits", "group").rows()


def test_sem_31_a_withdrawn_row_does_not_win_over_a_new_one_of_the_same_content() -> None:
    old = fact("t", 1, hits=[BAD], batch_id=57)
    new = {**old, "hits": [SLOW], "stream_id": "apply", "batch_id": 0}
    rows = [old, {**new, "hits": [BAD], "weight": -1}, new]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):  # files may be listed in any order
        assert standing(*(rows[i] for i in order)) == [("t", 1, [SLOW], ["support"])]


def test_sem_31_applied_back_and_forth_then_amended() -> None:
    first = fact("t", 1, hits=[BAD])
    there, back = {**first, "hits": []}, first
    rows = [first, {**first, "weight": -1}, there, {**there, "weight": -1}, back]
    assert standing(*rows) == [("t", 1, [BAD], ["support"])]
    amended = fact("t", 1, hits=[SLOW], content_hash=2)
    assert standing(*rows, {**back, "weight": -1}, amended) == [("t", 2, [SLOW], ["support"])]
    assert standing(*rows, {**back, "weight": -1}) == []


def test_sem_31_a_row_of_another_group_is_another_row() -> None:
    old = fact("t", 1, batch_id=9)
    new = {**old, "group_by": ["experiment", "model"], "group": ["support", "big"], "batch_id": 1}
    assert standing(old, {**old, "weight": -1}, new) == [("t", 1, [], ["support", "big"])]


def filled(**changes: Any) -> list[dict[str, Any]]:
    """A fact of an older program, and the row by which `apply` fills it: batch 0 of a stream of its own."""
    old = fact("t", 1, batch_id=57)
    known = {"span_keys": "[]", "span_sums": b"", "usage_disagrees": True, "failure": "{}", **changes}
    new = {**old, **known, "stream_id": "apply", "batch_id": 0}
    return [old, {**old, "stream_id": "apply", "batch_id": 0, "weight": -1}, new]


@pytest.mark.parametrize("column", ["usage_disagrees", "failure", "span_keys", "span_sums"])
def test_a_fact_that_was_filled_stands_whichever_of_its_columns_are_read(column: str) -> None:
    rows = filled()
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        table = pa.Table.from_pylist([{"stream_id": "s", **rows[place]} for place in order], schema=FACTS)
        frame = pl.DataFrame(table).select(list(dict.fromkeys([*NETTED, column])))
        assert net_facts(frame)[column].to_list() == [rows[2][column]]


@pytest.mark.parametrize("column", ["usage_disagrees", "failure", "span_sums"])
def test_what_was_filled_cannot_be_netted_without_the_column_that_tells_it_apart(column: str) -> None:
    frame = pl.DataFrame(pa.Table.from_pylist(filled(), schema=FACTS))
    with pytest.raises(ValueError, match="span_keys"):
        net_facts(frame.select("batch_id", "weight", "trace_id", "content_hash", "arrived_us", column))

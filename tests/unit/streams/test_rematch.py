"""What rules say now beside what facts hold: who changes, who stays, who is gone."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
from support.made_facts import fact

from store import net_facts
from store.schemas import FACTS
from streams.batch.match import NARROW
from streams.batch.rematch import Rematched, rematched

BAD, SLOW, BAD2 = (
    {"rule": rule, "hash": name} for rule, name in (("bad", "h1"), ("slow", "h2"), ("bad", "h3"))
)


def row(trace_id: str, *hits: dict[str, str], content: int = 1, **changes: Any) -> dict[str, Any]:
    whole = {"trace_id": trace_id, "content_hash": content, "group": ["support"], "hits": list(hits)}
    return {**whole, **changes}


def compared(
    facts: list[dict[str, Any]], rows: list[dict[str, Any]], only: tuple[str, ...] = (), **changes: Any
) -> Rematched:
    standing = pl.DataFrame(pa.Table.from_pylist(facts, schema=FACTS))
    narrow = pl.DataFrame(pa.Table.from_pylist(rows, schema=NARROW))
    given: dict[str, Any] = {"ids": ["slow", "bad"], "only": only, "group_by": ["experiment"], **changes}
    return rematched(standing, narrow, **given)


def written(found: Rematched) -> list[tuple[Any, ...]]:
    return sorted(
        (name, weight, [hit["hash"] for hit in hits])
        for name, weight, hits in found.facts.select("trace_id", "weight", "hits").iter_rows()
    )


def test_sem_31_only_traces_whose_hits_differ_give_rows() -> None:
    facts = [fact("a", 1, hits=[BAD]), fact("b", 1, hits=[BAD, SLOW]), fact("c", 1)]
    found = compared(facts, [row("a", SLOW), row("b", SLOW, BAD), row("c")])
    assert written(found) == [("a", -1, ["h1"]), ("a", 1, ["h2"])]
    assert (found.traces, found.changed, found.regrouped, found.gone, found.uncounted) == (3, 1, 0, 0, 0)
    assert found.rules == {
        "bad": {"before": 2, "after": 1, "gained": 0, "lost": 1},
        "slow": {"before": 1, "after": 2, "gained": 1, "lost": 0},
    }


def test_sem_31_a_rule_that_was_edited_keeps_its_traces_and_gets_its_new_version() -> None:
    found = compared([fact("a", 1, hits=[BAD])], [row("a", BAD2)])
    assert written(found) == [("a", -1, ["h1"]), ("a", 1, ["h3"])]
    assert found.rules == {"bad": {"before": 1, "after": 1, "gained": 0, "lost": 0}}


def test_sem_31_a_fact_without_a_breakdown_gets_it_and_counts_as_unchanged() -> None:
    known = {"span_keys": '[["TOOL", "a"]]', "span_sums": b"12345678", "usage_disagrees": True}
    known["failure"] = '{"message": "m"}'
    other = {**known, "span_sums": b"87654321"}
    facts = [fact("old", 1, hits=[BAD]), fact("new", 1, **known), fact("both", 1, hits=[BAD])]
    rows = [row("old", BAD, **known), row("new", **other), row("both", SLOW, **known)]
    found = compared(facts, rows)
    assert written(found) == [
        ("both", -1, ["h1"]),
        ("both", 1, ["h2"]),
        ("old", -1, ["h1"]),
        ("old", 1, ["h1"]),
    ]
    assert (found.traces, found.changed) == (3, 1)
    assert found.rules["bad"] == {"before": 2, "after": 1, "gained": 0, "lost": 1}
    before = pl.DataFrame(pa.Table.from_pylist(facts, schema=FACTS)).select(found.facts.columns)
    stored = pl.concat([before, found.facts]).with_columns(batch_id=pl.int_range(pl.len()))
    net = net_facts(stored)
    assert dict(net.select("trace_id", "span_sums").iter_rows()) == dict.fromkeys(
        ("old", "new", "both"), known["span_sums"]
    )
    assert net["usage_disagrees"].to_list() == [True] * 3
    assert net["failure"].to_list() == [known["failure"]] * 3
    assert compared(net.to_dicts(), rows).facts.is_empty()  # applied again, it changes nothing


def test_sem_31_what_is_gone_or_not_counted_yet_keeps_its_fact() -> None:
    found = compared([fact("a", 1, hits=[BAD]), fact("b", 1)], [row("b", SLOW, content=2)])
    assert written(found) == []
    assert (found.changed, found.gone, found.uncounted) == (0, 1, 1)
    assert found.rules == {"bad": {"before": 1, "after": 1, "gained": 0, "lost": 0}}


def test_sem_31_of_several_rows_of_a_content_the_one_that_landed_last_counts() -> None:
    rows = [row("a", BAD, landed_us=2), row("a", SLOW, landed_us=1)]
    for given in (rows, rows[::-1]):
        assert written(compared([fact("a", 1)], given)) == [("a", -1, []), ("a", 1, ["h1"])]


def test_sem_31_with_rule_the_hits_of_others_stay_in_the_order_of_the_rules() -> None:
    facts = [fact("a", 1, hits=[BAD]), fact("b", 1, hits=[SLOW, BAD])]
    found = compared(facts, [row("a", SLOW), row("b")], only=("slow",))
    assert written(found) == [
        ("a", -1, ["h1"]),
        ("a", 1, ["h2", "h1"]),
        ("b", -1, ["h2", "h1"]),
        ("b", 1, ["h1"]),
    ]
    assert found.rules == {"slow": {"before": 1, "after": 1, "gained": 1, "lost": 1}}


def test_sem_31_a_trace_is_grouped_by_the_keys_in_force() -> None:
    rows = [row("a", group=["support", "big"])]
    found = compared([fact("a", 1)], rows, group_by=["experiment", "model"])
    assert found.facts.select("weight", "group_by", "group").rows() == [
        (-1, ["experiment"], ["support"]),
        (1, ["experiment", "model"], ["support", "big"]),
    ]
    assert (found.changed, found.regrouped) == (1, 1)

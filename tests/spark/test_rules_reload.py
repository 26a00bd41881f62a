"""Rules are part of the query's plan: others that come into force while it runs match from the next batch
on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.delta_cases import clock, ends, opened, trace, write

from rules.rule_set import build_rule_set, parse_rule
from store import Store
from store.rule_sets import RuleSets
from streams.query import start

pytestmark = pytest.mark.spark


def test_sem_08_rules_that_come_into_force_while_it_runs_match_the_next_batch(
    spark: Any, tmp_path: Path
) -> None:
    source, changed = (
        tmp_path / "source",
        build_rule_set([parse_rule({"id": "all", "when": "request LIKE '%'", "tag": "any"})]),
    )
    write(source, [trace(1)])
    store, config = opened(tmp_path / "store", source)
    handle = start(spark, config, clock)
    try:
        wait_for(handle, store, 1)
        RuleSets(store).put(changed, (), 2)
        write(source, [trace(2)])
        wait_for(handle, store, 2)
    finally:
        handle.stop()
    hits = {
        row["trace_id"]: [hit["rule"] for hit in row["hits"]]
        for row in store.table("facts").read().iter_rows(named=True)
    }
    assert hits == {"tr-1": [], "tr-2": ["all"]}
    assert ends(store)["duplicates"] == 0


def wait_for(handle: Any, store: Store, counted: int, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while ends(store)["counted"] < counted:
        handle.poll()
        assert handle.active, handle.error()
        assert time.monotonic() < until
        time.sleep(0.1)

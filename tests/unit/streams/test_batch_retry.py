"""A batch that is cut short and repeated, its rules changed in between; Spark's part is played by ready
narrow rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from support.delta_cases import NOW_US, rule_set

import streams.batch.process
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.rule_sets import RuleSets
from store.windows import merge
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, in_force, process_batch


class Cut(Exception):
    """Stands for a kill."""


def other_rules() -> RuleSet:
    rule = {
        "id": "slow-rate",
        "where": "execution_time_ms > 9",
        "window": {"size": "5m", "by": ["experiment"]},
        "fire": "error_rate > 0.05",
    }
    return build_rule_set([parse_rule(rule)])


def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: str) -> tuple[Store, list[str]]:
    """One trace that every window rule counts; the first attempt ends before ``cut_at``, the second has other
    rules.
    """
    used: list[str] = []

    def matched(_frame: Any) -> pa.Table:
        rules = in_force(RuleSets(open_store(str(tmp_path)))).rules
        used.append(rules.hash)
        hits = [
            {"rule": rule.id, "hash": rule.hash} for rule in rules.alert_rules if rule.per_trace is not None
        ]
        row = {
            "trace_id": "a",
            "experiment": "x",
            "group": ["x"],
            "start_us": NOW_US - 10**9,
            "duration_ms": 5_000.0,
            "state": "OK",
            "content_hash": 1,
            "change_us": 1,
            "hits": hits,
        }
        return pa.Table.from_pylist([row], schema=NARROW)

    store = open_store(str(tmp_path))
    RuleSets(store).put(rule_set(), (), 1)
    began_us = NOW_US - 10**9  # before the trace has ended
    config = BatchConfig(str(tmp_path), "s", str(tmp_path / "checkpoint"), run_began_us=began_us)

    def cut(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(streams.batch.process, cut_at, cut)
        with pytest.raises(Cut):
            process_batch(None, 0, BatchWorker(config, lambda: NOW_US, matched))  # type: ignore[arg-type]
    RuleSets(store).put(other_rules(), (), 2)
    config = replace(config, run_began_us=NOW_US)
    process_batch(None, 0, BatchWorker(config, lambda: NOW_US + 10**6, matched))  # type: ignore[arg-type]
    return open_store(str(tmp_path)), used


def window_hashes(store: Store) -> set[str]:
    return set(merge(store.table("windows").read())["rule_hash"]) - {""}


def where_hash(rules: RuleSet) -> set[str]:
    return {rule.hash for rule in rules.alert_rules if rule.per_trace is not None}


def test_sem_08_facts_that_are_in_keep_the_rules_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, used = play(tmp_path, monkeypatch, "write_windows")
    assert used == [rule_set().hash]
    assert window_hashes(store) == where_hash(rule_set())
    end = store.table("batches").read(where=pl.col("phase") == "end")
    assert end["rule_set_hash"].to_list() == [rule_set().hash]
    assert end["counted"].to_list() == [1]


def test_sem_08_facts_that_are_not_in_are_made_afresh_with_the_present_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, used = play(tmp_path, monkeypatch, "write_side_outputs")
    assert used == [rule_set().hash, other_rules().hash]
    assert window_hashes(store) == where_hash(other_rules())
    batches = store.table("batches").read()
    assert batches["now_us"].unique().to_list() == [NOW_US]  # the batch keeps the time of its first attempt
    assert batches.filter(pl.col("phase") == "end")["rule_set_hash"].to_list() == [other_rules().hash]


@pytest.mark.parametrize("cut_at", ["write_side_outputs", "write_windows"])
def test_sem_13_a_batch_that_another_run_repeats_is_no_backlog_if_it_was_none(
    cut_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = play(tmp_path, monkeypatch, cut_at)
    batches = store.table("batches").read()
    assert batches["run_began_us"].unique().to_list() == [NOW_US - 10**9]
    assert batches.filter(pl.col("phase") == "end")["backlog"].to_list() == [0]
    config = BatchConfig(str(tmp_path), "s", "", run_began_us=NOW_US)

    def another(_frame: Any) -> pa.Table:
        row = {"trace_id": "b", "start_us": NOW_US - 10**9, "content_hash": 1, "change_us": 1, "hits": []}
        return pa.Table.from_pylist([row], schema=NARROW)

    process_batch(None, 1, BatchWorker(config, lambda: NOW_US, another))  # type: ignore[arg-type]
    end = store.table("batches").read(where=(pl.col("phase") == "end") & (pl.col("batch_id") == 1))
    assert end.select("backlog", "late", "run_began_us").rows() == [(1, 0, NOW_US)]

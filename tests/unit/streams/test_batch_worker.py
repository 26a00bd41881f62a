"""What a worker keeps from batch to batch belongs to one start of the query, and never crosses to another
store or process.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle
from support.delta_cases import NOW_US

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker, process_batch

ROWS = [
    {
        "trace_id": f"t{number}",
        "experiment": "x",
        "group": ["x"],
        "start_us": NOW_US - 10**9,
        "duration_ms": 5.0,
        "state": "OK",
        "content_hash": 1,
        "change_us": 1,
        "hits": [],
    }
    for number in range(3)
]


def narrow(_frame: Any) -> pa.Table:
    return pa.Table.from_pylist(ROWS, schema=NARROW)


def counting(where: str) -> RuleSet:
    rule = {"id": "rate", "where": where, "window": {"size": "5m", "by": []}, "fire": "error_rate > 0.1"}
    return build_rule_set([parse_rule(rule)])


def test_sem_08_a_store_made_anew_at_the_same_place_has_its_own_rules_and_tables(tmp_path: Path) -> None:
    """Handles and rules were kept by path and table version, which both stores share."""
    place = tmp_path / "store"
    config = BatchConfig(str(place), "s", "")
    for rules in (counting("execution_time_ms > 1"), counting("execution_time_ms > 2")):
        store = open_store(str(place))
        RuleSets(store).put(rules, (), 1)
        process_batch(None, 0, BatchWorker(config, lambda: NOW_US, narrow))  # type: ignore[arg-type]
        assert store.table("facts").read().height == 3
        assert set(store.table("batches").read()["rule_set_hash"]) == {rules.hash}
        shutil.rmtree(place)


def test_a_worker_that_has_worked_pickles_as_its_config_and_goes_on_in_another_process(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    RuleSets(store).put(counting("execution_time_ms > 1"), (), 1)
    worker = BatchWorker(BatchConfig(str(tmp_path), "s", ""), lambda: NOW_US, narrow)
    process_batch(None, 0, worker)  # type: ignore[arg-type]
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        content = cloudpickle.dumps((process_batch, worker))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert len(content) < 10_000  # no handle, no rules
    code = """
import sys
from pyspark import cloudpickle
process_batch, worker = cloudpickle.loads(sys.stdin.buffer.read())
process_batch(None, 1, worker)
"""
    subprocess.run([sys.executable, "-c", code], input=content, check=True, timeout=120)
    ends = store.table("batches").read().filter(phase="end").sort("batch_id")
    assert ends["counted"].to_list() == [3, 0]
    assert ends["duplicates"].to_list() == [0, 3]

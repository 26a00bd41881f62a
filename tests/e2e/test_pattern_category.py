"""docs/patterns/one-dataset-a-category.md on a real MLflow server: the script of today with its traps, and
the datasets that rules and quotas make of the same traces.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.dataset_candidates import failed
from support.doc_blocks import ROOT, blocks
from support.made_facts import batch, put
from support.mlflow_traces import log_trace
from support.page_blocks import changed, run_page
from support.servers import MlflowServer

from rules.loading.packs import load_packs
from store import Store, open_store
from streams.checkpoint import checkpoint_of, stream_id

pytestmark = pytest.mark.e2e
PAGE = "docs/patterns/one-dataset-a-category.md"
RARE = ["refund refused by the bank", "search index is broken"]


def test_the_pattern_of_one_dataset_a_category(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path
) -> None:
    changes = {"http://127.0.0.1:5000": mlflow_server.uri, "support-agent": experiment[1]}
    for block in blocks(ROOT / PAGE):
        if block.language == "yaml" and block.file:
            (tmp_path / block.file).write_text(changed(block.text, changes))
    config = tmp_path / "tracesieve.yaml"
    config.write_text(f"{config.read_text()}store: st\nmetrics: null\n")
    store = open_store(str(tmp_path / "st"))
    rules = load_packs(["rules.yaml"], (), tmp_path).rule_set
    assert rules is not None
    put(store, rules, 1)
    facts = logged(mlflow_server, experiment[0])
    hashes = {rule.id: rule.hash for rule in rules.rules}
    for row in facts:
        row["hits"] = [{"rule": hit["rule"], "hash": hashes[hit["rule"]]} for hit in row["hits"]]
    stream = stream_id(store, checkpoint_of(store.path))
    batch(store, 0, facts, rules, stream=stream)
    landed(store, facts)
    (Path(checkpoint_of(store.path)) / "offsets").mkdir()
    (Path(checkpoint_of(store.path)) / "offsets" / "0").write_text("{}")
    run_page(PAGE, tmp_path, changes)


ASKED: dict[str, str] = {}


def logged(server: MlflowServer, experiment_id: str) -> list[dict[str, Any]]:
    """38 alike failures, two others, one that was slow too, and two that were slow alone: their facts."""
    now_us = time.time_ns() // 1000
    kinds = [("down", ("failed",), 10)] * 38 + [(one, ("failed",), 10) for one in RARE]
    kinds += [("timed out", ("failed", "slow"), 6_000), *[("", ("slow",), 7_000)] * 2]
    facts = []
    for number, (message, matched, ms) in enumerate(kinds):
        question = f"how is order {number} doing today" if message == "down" else f"{message} {number}"
        trace_id = log_trace(
            server, experiment_id, now_us - number * 1000, ms=ms, error=bool(message), inputs={"q": question}
        )
        ASKED[trace_id] = question
        times = {"start_us": now_us - 1_000_000, "end_us": now_us - 1000, "arrived_us": 1}
        facts.append(failed(trace_id, message, rules=matched, experiment_id=experiment_id, **times))
    return facts


def landed(store: Store, facts: list[dict[str, Any]]) -> None:
    rows = [
        {
            "trace_id": one["trace_id"],
            "request_time": dt.datetime.fromtimestamp(one["start_us"] / 1e6, dt.UTC),
            "request": json.dumps({"q": ASKED[one["trace_id"]]}),
            "response": '"no"',
            "landed_us": 1,
        }
        for one in facts
    ]
    store.table("traces").append(rows)

"""A store whose facts match a rule, with nothing delivered yet, beside a real MLflow server; and what people
do to a dataset there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.dataset_cases import Datasets
from support.made_facts import batch, fact

from rules.rule_set import build_rule_set, parse_rule
from store import Store, open_store
from store.rule_sets import RuleSets
from streams.checkpoint import checkpoint_of, stream_id
from tracesieve.config.loading import load_settings

RULES = """version: 1
rules:
  - {id: failed, when: status = 'ERROR', tag: error_case, tests: {match: [{status: ERROR}]}}
"""


FOUR = {f"tr-{n}": (f"tr-{n}", f"answer of {n}") for n in range(4)}


def counted(
    folder: Path,
    uri: str,
    experiment: tuple[str, str],
    prefix: str = "tracesieve",
    traces: Mapping[str, tuple[str, str]] = FOUR,
) -> Store:
    """A config and a store whose facts match a rule, with nothing delivered yet; ``traces`` are questions
    and answers by id, in the order of their ends.
    """
    number, name = experiment
    (folder / "rules.yaml").write_text(RULES)
    (folder / "tracesieve.yaml").write_text(
        f"source: {{kind: mlflow, tracking_uri: {uri!r}, experiments: [{name}]}}\n"
        f"mlflow: {{tracking_uri: {uri!r}, tags: false}}\ndatasets: {{prefix: {prefix}}}\n"
        "store: st\nrules: [rules.yaml]\nmetrics: null\n"
    )
    store = open_store(str(folder / "st"))
    rules = build_rule_set([parse_rule({"id": "failed", "when": "status = 'ERROR'", "tag": "error_case"})])
    RuleSets(store).put(rules, load_settings(folder / "tracesieve.yaml").group_by, 1)
    hits = [{"rule": one.id, "hash": one.hash} for one in rules.rules]
    facts = [fact(one, n, error=True, experiment_id=number, hits=hits) for n, one in enumerate(traces)]
    contents = [
        {
            "trace_id": one["trace_id"],
            "request_time": datetime.fromtimestamp(one["start_us"] / 1e6, UTC),
            "request": json.dumps({"q": traces[one["trace_id"]][0]}),
            "response": json.dumps(traces[one["trace_id"]][1]),
            "landed_us": 1,
        }
        for one in facts
    ]
    store.table("traces").append(contents)
    checkpoint = checkpoint_of(store.path)
    batch(store, 0, facts, rules, stream=stream_id(store, checkpoint))
    (Path(checkpoint) / "offsets").mkdir()
    (Path(checkpoint) / "offsets" / "0").write_text("{}")  # a batch was planned
    return store


def people_merge(datasets: Datasets, *rows: dict[str, Any]) -> None:
    """As a person does it, with MLflow's own client."""
    import mlflow
    from mlflow.genai.datasets import get_dataset

    mlflow.set_tracking_uri(datasets.uri)
    get_dataset(dataset_id=datasets.dataset().dataset_id).merge_records(list(rows))

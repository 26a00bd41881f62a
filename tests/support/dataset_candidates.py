"""Traces that rules match, made by hand: facts, contents and a follower that makes messages of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from support.made_facts import T0, batch, fact

from rules.failures import fingerprint
from rules.rule_set import build_rule_set, parse_rule
from sinks.mlflow.config import DatasetsConfig
from store import Store
from store.outbox import Outbox, last_messages
from tracesieve.datasets.memberships import TagsAndMemberships
from tracesieve.datasets.sets import DatasetSets

RULES = build_rule_set(
    [
        parse_rule({"id": "failed", "when": "status = 'ERROR'", "tag": "error_case", "points_to": "a tool"}),
        parse_rule({"id": "slow", "when": "execution_time_ms > 5000", "tag": "slow_response"}),
    ]
)
_HASHES = {rule.id: rule.hash for rule in RULES.rules}


def failed(
    trace_id: str, message: str = "", *, rules: Sequence[str] = ("failed",), **changes: Any
) -> dict[str, Any]:
    """A fact of a trace that these rules match; without a message nothing failed."""
    failure = {
        "span_type": "TOOL",
        "span_name": "search",
        "error_type": "ToolError",
        "message": message,
        "pattern": fingerprint("ToolError", message),
        "handled": False,
    }
    found = {
        "error": bool(message),
        "failure": json.dumps(failure) if message else None,
        "hits": [{"rule": one, "hash": _HASHES[one]} for one in rules],
    }
    return fact(trace_id, 0, **found | changes)


def landed(store: Store, questions: dict[str, str]) -> None:
    """Put the contents of traces into the store's ``traces``, at the start that facts of minute 0 have."""
    start = dt.datetime.fromtimestamp(fact("", 0)["start_us"] / 1e6, dt.UTC)
    rows = [
        {"trace_id": one, "request_time": start, "request": json.dumps({"q": question}), "response": '"no"'}
        for one, question in questions.items()
    ]
    store.table("traces").append(rows)


def follower(store: Store, **config: Any) -> TagsAndMemberships:
    sets = DatasetSets(DatasetsConfig.model_validate(config))
    return TagsAndMemberships(store, Outbox(store), "s", [], ["mlflow_datasets"], sets)


def labelled(store: Store, trace_id: str, label: str) -> None:
    """A person's label of a trace, in batch 0."""
    row = {"stream_id": "s", "batch_id": 0, "trace_id": trace_id, "label": label}
    store.table("person_labels").append([{**row, "start_us": T0, "arrived_us": 1}])


def counted(store: Store, number: int, facts: list[dict[str, Any]]) -> None:
    """One whole batch."""
    batch(store, number, facts, RULES)


def members(store: Store) -> dict[str, list[str]]:
    """The datasets that each trace is wanted in, by the newest messages; those in none left out."""
    newest = last_messages(store, ["mlflow_datasets"]).select("target", "newest").iter_rows()
    found = {target: sorted(json.loads(payload)["categories"]) for target, payload in newest}
    return {target: names for target, names in sorted(found.items()) if names}

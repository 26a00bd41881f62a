"""A Delta table of traces and a run over it: what the tests of the Spark side share."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, net_facts, open_store
from store.outbox import Outbox
from store.rule_sets import RuleSets
from store.schemas import TRACES
from store.windows import merge
from streams.batch.config import BatchConfig
from streams.checkpoint import checkpoint_of, stream_id
from streams.query import start
from streams.sources.delta_traces.table import DeltaTracesTable
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.datasets.memberships import TagsAndMemberships

T0 = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_US = int((T0 + timedelta(days=1)).timestamp() * 1e6)
SHORT = TRACES.remove(TRACES.get_field_index("landed_us"))


def clock() -> int:
    return NOW_US


def trace(number: int, **changes: Any) -> dict[str, Any]:
    begin = T0 + timedelta(seconds=3 * number)
    took = 100 + 37 * (number % 50)
    tool = {
        "span_id": f"s{number}b",
        "trace_id": f"tr-{number}",
        "parent_id": f"s{number}a",
        "start_time": begin,
        "end_time": begin + timedelta(milliseconds=took / 2),
        "status_code": "ERROR" if number % 10 == 0 else "OK",
        "status_message": "",
        "name": "search",
        "attributes": [("mlflow.spanType", '"TOOL"')],
        "events": [],
    }
    root = {
        **tool,
        "span_id": f"s{number}a",
        "parent_id": None,
        "name": "agent",
        "status_code": "OK",
        "attributes": [("mlflow.spanType", '"AGENT"')],
        "end_time": begin + timedelta(milliseconds=took),
    }
    row = {
        "trace_id": f"tr-{number}",
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": begin,
        "state": "ERROR" if number % 7 == 0 else "OK",
        "execution_duration_ms": float(took),
        "request": "{}",
        "response": "{}",
        "tags": [("mlflow.traceName", "agent"), ("environment", "production")],
        "trace_metadata": [
            ("mlflow.trace.tokenUsage", '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}')
        ],
        "spans": [root, tool],
        "assessments": [],
    }
    return {**row, **changes}


def write(table: Path, rows: list[dict[str, Any]]) -> None:
    write_deltalake(str(table), pa.Table.from_pylist(rows, schema=SHORT), mode="append")


def rule_set() -> RuleSet:
    window = {"window": {"size": "5m", "by": ["experiment"]}, "fire": "error_rate > 0.05"}
    rules = [
        {"id": "tool-errors", "when": "any(span, type = 'TOOL' AND status = 'ERROR')", "tag": "error_case"},
        {"id": "slow-rate", "where": "execution_time_ms > 1000", **window},
        {"id": "error-rate", **window},
    ]
    return build_rule_set([parse_rule(rule) for rule in rules])


def opened(path: Path, source: Path, rebuild: bool = False) -> tuple[Store, BatchConfig]:
    store = open_store(str(path))
    if RuleSets(store).in_force() is None:
        RuleSets(store).put(rule_set(), (), 1)
    checkpoint = checkpoint_of(str(path))
    return store, BatchConfig(
        str(path),
        stream_id(store, checkpoint, rebuild=rebuild),
        checkpoint,
        table=DeltaTracesTable(str(source)),
    )


def run(spark: Any, path: Path, source: Path, rebuild: bool = False) -> Store:
    store, config = opened(path, source, rebuild)
    start(spark, config, clock, once=True).wait()
    return store


FACT = [
    "trace_id",
    "experiment",
    "group",
    "start_us",
    "end_us",
    "state",
    "error",
    "duration_us",
    "tokens_total",
    "cost_nusd",
    "content_hash",
    "change_us",
    "hits",
]


def result(store: Store) -> tuple[list[Any], list[Any]]:
    facts = net_facts(store.table("facts").read()).select(FACT).sort("trace_id")
    windows = merge(store.table("windows").read()).sort("start_us", "rule_hash")
    return facts.rows(), windows.rows()


def ends(store: Store) -> dict[str, int]:
    rows = store.table("batches").read(where=pl.col("phase") == "end")
    return {
        name: int(rows[name].sum())
        for name in ("rows", "counted", "duplicates", "amended", "late", "quarantined", "deleted")
    }


def follower(
    store: Store, stream: str, rules: RuleSet | None = None, at_us: int = NOW_US
) -> Callable[[], None]:
    """A function that makes one pass of the followers, as a run makes it, at a fixed time."""
    outbox, rules = Outbox(store), rules or rule_set()
    verdicts = Verdicts(store, stream, 2 * 86_400_000_000)
    notifications = Notifications(
        store, outbox, 3_600_000_000, ["alertmanager"], ["alert_log"], verdicts.held_us
    )
    memberships = TagsAndMemberships(store, outbox, stream, ["mlflow_tags"], ["mlflow_datasets"])
    steps = [
        partial(verdicts.step, rules, at_us, at_us),
        partial(notifications.step, rules, at_us),
        partial(memberships.step, rules, at_us),
    ]

    def step() -> None:
        for one in steps:
            one()

    return step


def follow(store: Store, stream: str, rules: RuleSet | None = None, at_us: int = NOW_US) -> None:
    """One pass of followers that begin anew."""
    follower(store, stream, rules, at_us)()


def verdicts(store: Store) -> list[tuple[Any, ...]]:
    """The verdict history that stands, with what was measured."""
    rows = net_verdicts(store.table("verdicts").read())
    names = ("rule", "rule_hash", "instant_us", "state", "since_us", "value", "traces", "errors")
    return sorted(((*(row[name] for name in names), tuple(row["group"])) for row in rows), key=repr)


def messages(store: Store) -> dict[tuple[str, str], Any]:
    """The newest message of each trace; none, and one that takes everything back, are the same."""
    rows = store.table("outbox").read().filter(pl.col("sink") != "alertmanager").sort("seq")
    last = rows.unique(["sink", "target"], keep="last").iter_rows(named=True)
    wanted = {(row["sink"], row["target"]): json.loads(row["payload"]) for row in last}
    return {key: one for key, one in wanted.items() if one.get("rules") or one.get("categories")}

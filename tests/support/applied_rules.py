"""A store whose rules change half-way, and `apply` on it without Spark: traces and what rules say of them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from support.delta_cases import NOW_US

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import Store, open_store
from store.apply_log import ApplyLog, ApplyRequest
from store.rule_sets import RuleSets
from streams.apply import ApplyWorker
from streams.batch.config import BatchConfig
from streams.batch.match import NARROW
from streams.batch.process import BatchWorker

MINUTE = 60_000_000
STREAM = "s"
BEGIN_US = NOW_US - 60 * MINUTE
_WINDOW = {"window": {"size": "3m", "by": ["experiment"]}, "fire": "traces > 2"}
_HOLDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "status = 'ERROR'": lambda trace: trace["state"] == "ERROR",
    "execution_time_ms > 5": lambda trace: trace["duration_ms"] > 5,
    "execution_time_ms > 15": lambda trace: trace["duration_ms"] > 15,
}
BEFORE = [
    {"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"},
    {"id": "slow", "when": "execution_time_ms > 15", "tag": "slow_response"},
    {"id": "gone", "when": "execution_time_ms > 5", "tag": "edge_case"},
    {"id": "burst", "where": "execution_time_ms > 15", **_WINDOW},
]
AFTER = [
    {"id": "slow", "when": "execution_time_ms > 5", "tag": "slow_response"},
    {"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"},
    {"id": "burst", "where": "execution_time_ms > 5", **_WINDOW},
    {"id": "errors", "where": "status = 'ERROR'", **_WINDOW, "for": "1m"},
    {"id": "rate", **_WINDOW, "fire": "error_rate > 0.4"},
]


def rules(items: list[dict[str, Any]]) -> RuleSet:
    return build_rule_set([parse_rule(item) for item in items])


def traces(seed: int, count: int) -> list[dict[str, Any]]:
    pick = random.Random(seed)
    return [
        {
            "trace_id": f"t{number}",
            "experiment": "support",
            "group": [pick.choice(["a", "b"])],
            "start_us": BEGIN_US + number * 30 * MINUTE // count + pick.randrange(MINUTE),
            "duration_ms": pick.choice([1.0, 7.0, 20.0]),
            "state": pick.choice(["OK", "OK", "ERROR"]),
            "content_hash": pick.getrandbits(40),
            "change_us": number,
            "landed_us": BEGIN_US + number,
        }
        for number in range(count)
    ]


def narrow(rows: list[dict[str, Any]], rule_set: RuleSet) -> pa.Table:
    """The rows as Spark would hand them over: with the hits of the rules, in their order."""
    found = []
    for row in rows:
        hits = [
            {"rule": rule.id, "hash": rule.hash}
            for rule, condition in rule_set.per_trace
            if _HOLDS[condition.text](row)
        ]
        found.append({**row, "hits": hits})
    return pa.Table.from_pylist(found, schema=NARROW)


class Source:
    """A store, and the traces that its source has so far."""

    def __init__(self, path: Path) -> None:
        self.store: Store = open_store(str(path))
        self.config = BatchConfig(str(path), STREAM, "", group_by=("experiment",))
        self.rows: list[dict[str, Any]] = []
        self._ticks = itertools.count(NOW_US)

    def clock(self) -> int:
        return next(self._ticks)

    def put(self, rule_set: RuleSet) -> None:
        RuleSets(self.store).put(rule_set, ("experiment",), self.clock())

    def batch(self, number: int, rows: list[dict[str, Any]]) -> None:
        """One batch of the query."""
        self.rows += [row for row in rows if row not in self.rows]
        present = RuleSets(self.store).in_force()
        assert present is not None
        worker = BatchWorker(self.config, self.clock, lambda _frame: narrow(rows, present.rules))
        worker.process(None, number)

    def worker(self, piece: int = 10_000) -> ApplyWorker:
        def rows_of(rule_set: RuleSet, from_us: int, to_us: int) -> pa.Table:
            within = [row for row in self.rows if from_us <= row["start_us"] <= to_us]
            return narrow(within, rule_set)

        return ApplyWorker(self.store, self.config, self.clock, rows_of, piece)

    def ask(self, name: str = "r1", **changes: Any) -> ApplyRequest:
        given: dict[str, Any] = {"rules": (), "from_us": 0, "to_us": NOW_US, "asked": "", **changes}
        request = ApplyRequest(request_id=name, asked_us=NOW_US, **given)
        if name not in {one.request_id for one in ApplyLog(self.store).requests()}:
            ApplyLog(self.store).put(request)
        return request

    def apply(self, request: ApplyRequest, piece: int = 10_000) -> ApplyWorker:
        """Work on a request until it is done."""
        worker = self.worker(piece)
        while request.request_id in {one.request_id for one in worker.log.open()}:
            worker.step(request)
        return worker


def payloads(store: Store) -> list[dict[str, Any]]:
    """Every message of the outbox, oldest first."""
    rows = store.table("outbox").read().sort("seq")
    return [json.loads(text) for text in rows["payload"]]

"""1,000 rules against 10 on the same backfill of 200,000 traces of 5 spans, end to end: read, matched, facts
and windows.

No two rules are equal. They are drawn from fourteen forms over fields of the trace, numbers, free text and
spans, with AND, OR and NOT; most match few traces, as rules of single customers or tools do. The ten are one
of each of the first ten forms, so both sets read nearly the same columns. Each repeat is one fresh process:
the ten once to warm it up, then each set. Each of the ten must match as many traces among the thousand.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import measure
from benchmarks.measure import Options, goal, median, say, timed
from benchmarks.traces import BEGIN_US, SPANS, delta_table
from rules.groups import DEFAULT_GROUP_BY
from rules.units import DAY_US

FULL = 200_000
FEW, MANY = 10, 1000
NOW_US = BEGIN_US + 2 * DAY_US
_WORDS = [
    "order",
    "refund",
    "delivery",
    "parcel",
    "invoice",
    "account",
    "password",
    "shipping",
    "late",
    "broken",
    "cancel",
    "address",
    "payment",
    "size",
    "return",
]
_NAMES = ["support-agent", "search_docs", "draft", "lookup_order", "answer"]
_Form = Callable[[random.Random], str]


def _user(r: random.Random) -> str:
    return f"'user-{r.randint(0, 4999)}'"


def _words(r: random.Random, joint: str) -> str:
    return joint.join(r.sample(_WORDS, 2))


FORMS: tuple[_Form, ...] = (
    lambda r: f"status = 'ERROR' AND tags.`mlflow.user` = {_user(r)}",
    lambda r: (
        f"execution_time_ms > {r.randint(2000, 9000)} AND tags.`mlflow.user` IN "
        f"({', '.join(_user(r) for _ in range(5))})"
    ),
    lambda r: (
        f"any(span, name = 'lookup_order' AND status = 'ERROR') AND tokens.total > {r.randint(6000, 9999)}"
    ),
    lambda r: f"any(span, name = '{r.choice(_NAMES)}' AND duration_ms > {r.randint(15_000, 60_000)})",
    lambda r: (
        f"count(span, duration_ms > {r.randint(3000, 9000)}) >= {r.randint(3, 4)} AND NOT tags.environment "
        "= 'production'"
    ),
    lambda r: (
        f"sum(span, duration_ms, type = 'CHAT_MODEL') > {r.randint(6000, 20_000)} AND "
        "metadata.`mlflow.trace.session` "
        f"LIKE 'session-{r.randint(10, 99)}%'"
    ),
    lambda r: f"request LIKE '%{_words(r, ' ')}%' AND status = 'ERROR'",
    lambda r: f"request RLIKE '{_words(r, ' [a-z]+ ')}' AND tags.environment <> 'staging'",
    lambda r: (
        f"response ILIKE '%{_words(r, ' ').title()}%' AND "
        f"tokens.output > {r.randint(1200, 1480)} OR name = '{_words(r, '-')}'"
    ),
    lambda r: (
        f"tokens.output / tokens.input > {r.uniform(2, 5):.3f} AND experiment = "
        f"'{r.choice(['support', 'search'])}'"
    ),
    lambda r: (
        f"cost.total >= {r.uniform(0.0145, 0.016):.5f} AND (tags.environment = 'staging' OR NOT (name = "
        "'search-agent' OR "
        f"tokens.input < {r.randint(7000, 8900)}))"
    ),
    lambda r: f"span.status_message LIKE '%timed%' AND span.duration_ms > {r.randint(3000, 20_000)}",
    lambda r: f"execution_time_ms BETWEEN {(at := r.randint(100, 9000))} AND {at + r.randint(2, 9)}",
    lambda r: f"all(span, duration_ms < {r.randint(60, 200)}) AND tokens.output > {r.randint(500, 1400)}",
)


def rules(number: int) -> list[dict[str, Any]]:
    """That many rules, no two alike; a smaller set is the beginning of a larger."""
    r, seen = random.Random(20261120), dict[str, None]()
    form = 0
    while len(seen) < number:
        before = len(seen)
        seen[FORMS[form % len(FORMS)](r)] = None
        form += len(seen) > before
    return [{"id": f"rule-{index:04d}", "when": when, "tag": "edge_case"} for index, when in enumerate(seen)]


def run(options: Options) -> dict[str, Any]:
    """The whole scenario; seconds are of warm passes."""
    size = options.sized(FULL)
    table = delta_table(options.folder, size)
    found = []
    for repeat in range(options.repeats):
        found.append(measure.in_child("b", str(table)))
        say(
            f"repeat {repeat + 1}: {FEW} rules {found[-1]['few']:.1f} s, {MANY} rules "
            f"{found[-1]['many']:.1f} s"
        )
    few, many = (median([one[name] for one in found]) for name in ("few", "many"))
    return {
        "traces": size,
        "spans": size * SPANS,
        "rules": {"few": FEW, "many": MANY},
        "seconds": {"few": few, "many": many},
        "hits_a_trace": {name: round(found[0][f"{name}_hits"] / size, 2) for name in ("few", "many")},
        "matching_ms_a_batch_of_20000": {name: found[0][f"{name}_match_ms"] for name in ("few", "many")},
        "goals": {"many_times_few": goal(many / few, at_most=2)},
    }


def child(table: str) -> dict[str, Any]:
    """A warm pass of each set, in this fresh process."""
    from streams.session.config import SparkConfig
    from streams.session.spark import session

    spark = session(SparkConfig())
    found: dict[str, Any] = {}
    counts: dict[str, dict[str, int]] = {}
    for name, number in (("cold", FEW), ("few", FEW), ("many", MANY)):
        found[name], counts[name] = _pass(spark, table, number)
        found[f"{name}_hits"] = sum(counts[name].values())
    spark.stop()
    for rule, count in counts["few"].items():
        if counts["many"].get(rule) != count:
            raise RuntimeError(
                f"{rule} matched {count} traces among {FEW} rules and {counts['many'].get(rule)} among {MANY}"
            )
    return found | {
        f"{name}_match_ms": _matching_ms(table, number) for name, number in (("few", FEW), ("many", MANY))
    }


def _pass(spark: Any, table: str, number: int) -> tuple[float, dict[str, int]]:
    from rules.rule_set import build_rule_set, parse_rule
    from store import open_store
    from store.rule_sets import RuleSets
    from streams.batch.config import BatchConfig
    from streams.checkpoint import checkpoint_of, stream_id
    from streams.query import start
    from streams.sources.delta_traces.table import DeltaTracesTable

    folder = tempfile.mkdtemp(prefix="tracesieve-bench-")
    with timed() as timer:
        rule_set = build_rule_set([parse_rule(item) for item in rules(number)])
        store = open_store(folder)
        RuleSets(store).put(rule_set, DEFAULT_GROUP_BY, 1)
        checkpoint = checkpoint_of(folder)
        config = BatchConfig(folder, stream_id(store, checkpoint), checkpoint, table=DeltaTracesTable(table))
        start(spark, config, lambda: NOW_US, once=True).wait()
    hits = store.table("facts").read(["hits"]).explode("hits").drop_nulls().unnest("hits")
    shutil.rmtree(folder)
    return timer.seconds, dict(hits.group_by("rule").len().iter_rows())


def _matching_ms(table: str, number: int) -> float:
    """Milliseconds of the matcher alone for one batch of the size that Spark hands over."""
    from deltalake import DeltaTable

    from rules.dialect import compile_condition
    from rules.matcher import Matcher, raw_table

    matcher = Matcher([compile_condition(rule["when"]) for rule in rules(number)])
    rows = DeltaTable(table).to_pyarrow_dataset().head(20_000)
    raw = raw_table(rows, matcher.columns)
    seconds = []
    for _ in range(3):
        with timed() as timer:
            matcher.hits(raw)
        seconds.append(timer.seconds)
    return round(min(seconds) * 1000, 1)

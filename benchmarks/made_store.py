"""A store filled with generated facts, many at a time, without Spark: 5 to 8 spans a trace, failures of forty
patterns, matches of two rules; the same for the same size.

The spans that the facts were made of stand beside the store as ``spans.parquet``, a row each, so that pandas
can be asked the same. A store is kept for the next run.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.made_spans import AGENTS, made_spans
from rules.breakdown import AMOUNTS, Spans, entries, stored
from rules.failures import fingerprint, masked
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.units import DAY_US

BEGIN_US = 1_748_736_000_000_000  # 2025-06-01T00:00Z; the traces end within this day
END_US = BEGIN_US + DAY_US
AT_ONCE = 50_000  # facts of one batch
GROUP_BY = ("experiment", "environment")
_VERSION = 1  # of what is generated; raise it when that changes
_PATTERNS = 40
_WORDS = ["timeout", "refused", "reset", "limit", "quota", "parse", "schema", "missing", "denied", "closed"]


def rules() -> RuleSet:
    """The two rules that the facts match."""
    slow = {"id": "slow-responses", "when": "execution_time_ms > 8000", "tag": "slow_response"}
    failed = {"id": "failed-traces", "when": "state = 'ERROR'", "tag": "error_case"}
    return build_rule_set([parse_rule(slow), parse_rule(failed)])


def made_store(folder: Path, traces: int) -> Path:
    """A folder below ``folder`` with ``store/`` and ``spans.parquet`` of that many traces, made unless it is
    there.
    """
    from store import open_store
    from store.rule_sets import RuleSets

    path = folder / f"facts-{traces}-v{_VERSION}"
    if (path / "_complete").exists():
        return path
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    store = open_store(str(path / "store"))
    RuleSets(store).put(rules(), GROUP_BY, BEGIN_US)
    spans = []
    for number, first in enumerate(range(0, traces, AT_ONCE)):
        size = min(AT_ONCE, traces - first)
        facts, frame = made_facts(first, size, traces)
        batch = facts.with_columns(stream_id=pl.lit("bench"), batch_id=pl.lit(number, pl.Int64))
        known = store.table("facts").empty()  # what no generated fact has is null
        store.table("facts").append(pl.concat([known, batch], how="diagonal_relaxed"))
        ended = {"stream_id": "bench", "batch_id": number, "phase": "end", "counted": size, "now_us": END_US}
        store.table("batches").append(
            [{**ended, "rule_set_hash": rules().hash, "arrived_through_us": END_US}]
        )
        spans.append(frame)
    pl.concat(spans).write_parquet(path / "spans.parquet")
    (path / "tracesieve.yaml").write_text(
        "source: {kind: delta_traces, table: store/traces}\n"
        "store: store\n"
        "group_by: [experiment, environment]\n"
    )
    (path / "_complete").touch()
    return path


def made_facts(first: int, number: int, of: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Facts ``first`` … of ``of`` that are spread evenly over the day, without ``stream_id`` and
    ``batch_id``; and their spans: trace, type, name, times, tokens and cost.
    """
    rng = np.random.default_rng([20250601, first])
    agent = rng.integers(0, len(AGENTS), number)
    failed = rng.random(number) < 0.03
    spans = made_spans(rng, agent, failed)
    took = np.zeros(number, np.int64)
    took[spans.owners[spans.parent < 0]] = spans.duration_us[spans.parent < 0]
    end = BEGIN_US + ((first + np.arange(number)) * (DAY_US / of)).astype(np.int64) + 1
    facts = pl.DataFrame(
        {
            "weight": np.ones(number, np.int8),
            "trace_id": _ids(rng, number),
            "experiment_id": pl.Series(np.array(["1", "2"])[agent % 2]),
            "experiment": pl.Series(np.array(["support", "search"])[agent % 2]),
            "start_us": end - took,
            "end_us": end,
            "state": pl.Series(np.where(failed, "ERROR", "OK")),
            "error": failed,
            "duration_us": took,
            "content_hash": rng.integers(-(2**62), 2**62, number),
            "change_us": end,
            "arrived_us": end + 2_000_000,
            "late": np.zeros(number, bool),
            "failure": _failures(rng, failed, rng.random(number) < 0.01),
            **_usage(rng, spans, number),
            **{name: pl.Series(column) for name, column in stored(entries(spans), number).items()},
        }
    )
    environment = pl.Series(np.where(rng.random(number) < 0.2, "staging", "production"))
    grouped = facts.with_columns(
        pl.lit(list(GROUP_BY)).alias("group_by"),
        pl.concat_list("experiment", environment.alias("environment")).alias("group"),
        _hits(took > 8_000_000, failed),
    )
    return grouped, _frame(spans, first)


def _ids(rng: np.random.Generator, number: int) -> list[str]:
    digits = rng.bytes(16 * number).hex()
    return [f"tr-{digits[at : at + 32]}" for at in range(0, 32 * number, 32)]


def _usage(rng: np.random.Generator, spans: Spans, number: int) -> dict[str, Any]:
    """The trace's own amounts: those of its spans, in one of a hundred traces twice as much."""
    doubled = rng.random(number) < 0.01
    found: dict[str, Any] = {"usage_disagrees": doubled}
    for name in AMOUNTS:
        used = np.nan_to_num(spans.used[name])
        of_trace = np.bincount(spans.owners, weights=used, minlength=number).astype(np.int64)
        found[name] = np.where(doubled, 2 * of_trace, of_trace)
    return found


def _hits(slow: Any, failed: Any) -> pl.Series:
    """Lists of the rules that match, as facts hold them."""
    hash_of = {rule.id: rule.hash for rule in rules().trace_rules}
    hit = {name: {"rule": name, "hash": hash_of[name]} for name in hash_of}
    lists = [
        [],
        [hit["slow-responses"]],
        [hit["failed-traces"]],
        [hit["failed-traces"], hit["slow-responses"]],
    ]
    kind = pl.List(pl.Struct({"rule": pl.String, "hash": pl.String}))
    return pl.Series("hits", lists, dtype=kind).gather(slow.astype(np.int64) + 2 * failed)


def _failures(rng: np.random.Generator, failed: Any, handled: Any) -> pl.Series:
    """Failures as facts hold them, of patterns of which the first are the most frequent."""
    rows = np.flatnonzero(failed | handled)
    pattern = np.minimum(rng.zipf(1.3, len(rows)), _PATTERNS) - 1
    numbers = rng.integers(0, 10_000, len(rows))
    messages = [
        f"{_WORDS[kind % 10]} {_WORDS[kind // 10]} of upstream service after {n} ms (request {n:08x})"
        for kind, n in zip(pattern.tolist(), numbers.tolist(), strict=True)
    ]
    masks = masked(pa.array(messages, pa.string())).to_pylist()
    known = {text: fingerprint("TimeoutError", text) for text in set(masks)}
    column: list[str | None] = [None] * len(failed)
    where = {"span_type": "TOOL", "span_name": "tools.lookup_order", "error_type": "TimeoutError"}
    for row, message, mask in zip(rows.tolist(), messages, masks, strict=True):
        one = {**where, "message": message, "pattern": known[mask], "handled": not failed[row]}
        column[row] = json.dumps(one)
    return pl.Series(column, dtype=pl.String)


def _frame(spans: Spans, first: int) -> pl.DataFrame:
    def texts(of: Any) -> pl.Series:
        return pl.Series(of.words, dtype=pl.String).gather(of.codes.astype(np.int64)).cast(pl.Categorical)

    used = {name: pl.Series(values).fill_nan(None) for name, values in spans.used.items()}
    return pl.DataFrame(
        {
            "trace": spans.owners + first,
            "span_type": texts(spans.types),
            "span_name": texts(spans.names),
            "failed": spans.failed,
            "duration_us": spans.duration_us,
            "self_us": spans.self_us,
            "critical_us": spans.critical_us,
            **used,
        }
    )

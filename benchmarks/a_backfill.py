"""Backfill of 1,000,000 traces of 5 spans with the default pack, beside a bare Spark streaming read and one
DuckDB scan.

Each repeat is three fresh processes: the monitor's real streaming query, a bare streaming read of the same
columns in the same session settings, and DuckDB. In each the first pass is cold, the second warm. The
answers must agree: traces, errors and tokens a window, and how many traces each rule matched, exactly; window
quantiles within a histogram bucket.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import measure
from benchmarks.measure import Options, goal, median, say, timed
from benchmarks.traces import BEGIN_US, SPANS, data_bytes, delta_table
from rules.groups import DEFAULT_GROUP_BY
from rules.units import DAY_US

FULL = 1_000_000
NOW_US = BEGIN_US + 2 * DAY_US
PASSES = ("cold", "warm")


def run(options: Options) -> dict[str, Any]:
    """The whole scenario; ``stages`` are shares of the warm pass of the monitor."""
    size = options.sized(FULL)
    say(f"a table of {size:,} traces below {options.folder}")
    table = delta_table(options.folder, size)
    seen: dict[str, list[dict[str, Any]]] = {"bare": [], "monitor": [], "duckdb": []}
    for repeat in range(options.repeats):
        for kind, found in seen.items():
            found.append(measure.in_child("a", kind, str(table)))
            say(f"repeat {repeat + 1} {kind}: cold {found[-1]['cold']:.1f} s, warm {found[-1]['warm']:.1f} s")
    for repeat in range(options.repeats):
        _agree(seen["monitor"][repeat]["answers"], seen["duckdb"][repeat]["answers"])
    seconds = {
        kind: {when: median([one[when] for one in found]) for when in PASSES} for kind, found in seen.items()
    }
    warm, cold = ({kind: seconds[kind][when] for kind in seconds} for when in ("warm", "cold"))
    stages = [one["stages"] for one in seen["monitor"]]
    return {
        "traces": size,
        "spans": size * SPANS,
        "source_mb": round(data_bytes(table) / 1e6, 1),
        "seconds": seconds,
        "session_start_s": median([one["session_start_s"] for one in seen["monitor"]]),
        "ratio_cold": {kind: round(cold["monitor"] / cold[kind], 2) for kind in ("bare", "duckdb")},
        "stages": {
            name: round(median([one[name] for one in stages]) / warm["monitor"], 3) for name in stages[0]
        },
        "python_peak_mb": max(one["python_peak_mb"] for one in seen["monitor"]),
        "goals": {
            "warm_times_bare": goal(warm["monitor"] / warm["bare"], at_most=8),
            "warm_times_duckdb": goal(warm["monitor"] / warm["duckdb"], at_most=10),
        },
    }


def child(kind: str, table: str) -> dict[str, Any]:
    """A cold and a warm pass of one contestant, in this fresh process."""
    return {"bare": _bare, "monitor": _monitor, "duckdb": _duckdb}[kind](Path(table))


def _session() -> tuple[Any, float]:
    from streams.session.config import SparkConfig
    from streams.session.spark import session

    with timed() as timer:
        spark = session(SparkConfig())
    return spark, round(timer.seconds, 3)


def _bare(table: Path) -> dict[str, Any]:
    spark, start_s = _session()
    found: dict[str, Any] = {"session_start_s": start_s}
    spans = [
        f"spans.{name}" for name in ("span_id", "name", "status_code", "start_time", "end_time", "attributes")
    ]
    wanted = [
        "trace_id",
        "experiment_id",
        "experiment_name",
        "request_time",
        "state",
        "execution_duration_ms",
        "trace_metadata",
        "tags",
        "assessments",
        *[f"{name} as {name.replace('.', '_')}" for name in spans],
    ]

    for name in PASSES:
        with tempfile.TemporaryDirectory() as folder, timed() as timer:
            frame = spark.readStream.format("delta").option("maxBytesPerTrigger", "256m").load(str(table))
            query = frame.selectExpr(*wanted).writeStream.option("checkpointLocation", folder).format("noop")
            query.trigger(availableNow=True).start().awaitTermination()
        found[name] = timer.seconds
    spark.stop()
    return found


class _Stages(logging.Handler):
    """Adds up the stage seconds that batches log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seconds: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        for name, seconds in getattr(record, "stages", {}).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def _monitor(table: Path) -> dict[str, Any]:
    import resource

    from rules.loading.packs import load_packs
    from store import open_store
    from store.rule_sets import RuleSets
    from streams.batch.config import BatchConfig
    from streams.checkpoint import checkpoint_of, stream_id
    from streams.query import start
    from streams.sources.delta_traces.table import DeltaTracesTable

    rule_set = load_packs(["packs/default"], DEFAULT_GROUP_BY, ".").rule_set
    assert rule_set is not None
    logger = logging.getLogger("streams.batch.process")
    logger.setLevel(logging.DEBUG)
    spark, start_s = _session()
    found: dict[str, Any] = {"session_start_s": start_s}
    for name in PASSES:
        stages = _Stages()
        logger.addHandler(stages)
        folder = tempfile.mkdtemp(prefix="tracesieve-bench-")
        with timed() as timer:
            store = open_store(folder)
            RuleSets(store).put(rule_set, DEFAULT_GROUP_BY, 1)
            checkpoint = checkpoint_of(folder)
            config = BatchConfig(
                folder, stream_id(store, checkpoint), checkpoint, table=DeltaTracesTable(str(table))
            )
            start(spark, config, lambda: NOW_US, once=True).wait()
        found[name] = timer.seconds
        logger.removeHandler(stages)
        found["stages"] = {**stages.seconds, "between_batches": timer.seconds - sum(stages.seconds.values())}
        found["answers"] = _monitor_answers(store)
        shutil.rmtree(folder)
    found["python_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    spark.stop()
    return found


def _monitor_answers(store: Any) -> dict[str, Any]:
    from rules.alerting.histogram import quantile_us
    from store.windows import merge

    windows = merge(store.table("windows").read()).filter(pl.col("rule_hash") == "")
    rows = []
    for row in windows.iter_rows(named=True):
        counts = dict(zip(row["bucket_index"], row["bucket_count"], strict=True))
        key = [row["start_us"], *row["group"]]
        rows.append(
            [
                *key,
                row["traces"],
                row["errors"],
                row["tokens_total"],
                quantile_us(counts, 0.5),
                quantile_us(counts, 0.95),
            ]
        )
    hits = store.table("facts").read(["hits"]).explode("hits").drop_nulls().unnest("hits")
    return {"windows": rows, "rules": dict(hits.group_by("rule").len().iter_rows())}


# The fastest form found of several: each span becomes a small number once (3 a failed tool, 2 another tool, 1
# an empty retrieval), which the rules then look for. Filters over the structs themselves and unnest with a
# group by take longer.
_FACTS = """
create or replace temp table f as
with t as (
  select trace_id, state, execution_duration_ms, experiment_name,
    epoch_us(request_time) + round(execution_duration_ms * 1000)::bigint as end_us,
    tags['mlflow.traceName'] as trace_name, tags['environment'] as environment,
    json_extract_string(trace_metadata['mlflow.trace.tokenUsage'],
      ['$.input_tokens', '$.output_tokens', '$.total_tokens'])::bigint[] as tokens,
    json_extract_string(trace_metadata['mlflow.trace.cost'], '$.total_cost')::double as cost_usd,
    list_transform(spans, lambda x: case x.attributes['mlflow.spanType']
      when '"TOOL"' then case when x.status_code = 'ERROR' then 3 else 2 end
      when '"RETRIEVER"' then case when x.status_code = 'OK' and x.attributes['mlflow.spanOutputs'] = '[]'
        then 1 else 0 end
      else 0 end) as kinds
  from read_parquet({files}))
select trace_id, end_us // 60000000 * 60000000 as start_us, experiment_name as experiment, trace_name,
  environment, round(execution_duration_ms * 1000)::bigint as duration_us, state = 'ERROR' as error,
  tokens[1] as tokens_input, tokens[2] as tokens_output, tokens[3] as tokens_total, cost_usd,
  state = 'ERROR' as "error-traces", list_contains(kinds, 3) as "tool-errors",
  execution_duration_ms > 10000 as "slow-responses",
  len(list_filter(kinds, lambda x: x >= 2)) > 10 as "tool-loops",
  list_contains(kinds, 1) as "empty-retrieval", tokens[3] > 20000 as "token-hotspots"
from t
"""
_WINDOWS = """
select start_us, experiment, trace_name, environment, count(*), count(*) filter (error),
  sum(tokens_total)::bigint,
  quantile_disc(duration_us, 0.5), quantile_disc(duration_us, 0.95)
from f group by all order by all
"""
_RULES = ("error-traces", "tool-errors", "slow-responses", "tool-loops", "empty-retrieval", "token-hotspots")


def _duckdb(table: Path) -> dict[str, Any]:
    import duckdb
    from deltalake import DeltaTable

    files = json.dumps([uri.removeprefix("file://") for uri in DeltaTable(str(table)).file_uris()]).replace(
        '"', "'"
    )
    counts = ", ".join(f'count(*) filter ("{rule}")' for rule in _RULES)
    found: dict[str, Any] = {}
    connection = duckdb.connect()
    for name in PASSES:
        with timed() as timer:
            connection.execute(_FACTS.format(files=files))
            windows = connection.execute(_WINDOWS).fetchall()
            rules = connection.execute(f"select {counts} from f").fetchall()[0]
        found[name] = timer.seconds
        matched = {rule: count for rule, count in zip(_RULES, rules, strict=True) if count}
        found["answers"] = {"windows": [list(row) for row in windows], "rules": matched}
    return found


def _agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raise where an answer differs: counts and sums exactly, quantiles by more than a histogram's bucket is
    wide.
    """
    if ours["rules"] != theirs["rules"]:
        raise AssertionError(f"rules differ: {ours['rules']} here, {theirs['rules']} by DuckDB")
    mine, other = ({tuple(row[:4]): row[4:] for row in rows} for rows in (ours["windows"], theirs["windows"]))
    if mine.keys() != other.keys():
        raise AssertionError(f"{len(mine)} windows here, {len(other)} by DuckDB")
    for key, (traces, errors, tokens, *quantiles) in mine.items():
        if [traces, errors, tokens] != other[key][:3]:
            raise AssertionError(f"window {key}: {[traces, errors, tokens]} here, {other[key][:3]} by DuckDB")
        for value, exact in zip(quantiles, other[key][3:], strict=True):
            if abs(value - exact) > 0.0056 * exact + 1:
                raise AssertionError(f"window {key}: quantile {value} here, {exact} by DuckDB")

"""``report --last 24h`` on 20,000 traces against ``mlflow.search_traces`` with pandas giving the same
numbers.

A real MLflow server is filled by logging some traces with MLflow's own client and copying their rows in the
server's database to ends spread over the last 23 hours; ``tracesieve run --once`` lands and counts them.
Measured are the whole command, Python's start included, and the whole of what people do today: the call, and
pandas on what it returns.
"""

from __future__ import annotations

import base64
import json
import math
import os
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Options, goal, in_child, median, say, timed
from benchmarks.mlflow_server import mlflow_server
from rules.units import HOUR_US, MINUTE_US

TRACES = 20_000
TEMPLATES = 60
SPREAD_US = 23 * HOUR_US
EXPERIMENT = "bench"
CONFIG = """
source: {{kind: mlflow, tracking_uri: "{uri}", experiments: [bench], start: -24h}}
store: store
metrics: null
"""


def run(options: Options) -> dict[str, Any]:
    """The scenario's figures; it breaks where the two ways disagree."""
    traces = options.sized(TRACES)
    with tempfile.TemporaryDirectory(prefix="tracesieve-bench-") as name:
        folder = Path(name)
        with mlflow_server(folder) as uri:
            with timed() as filling:
                _fill(uri, folder / "mlflow.db", traces)
            say(f"d: {traces} traces on a server in {filling.seconds:.0f} s")
            (folder / "tracesieve.yaml").write_text(CONFIG.format(uri=uri))
            with timed() as landing:
                _tracesieve(folder, "run", "--once")
            say(f"d: landed and counted in {landing.seconds:.0f} s")
            reports = []
            for _ in range(options.repeats):
                with timed() as command:
                    found = json.loads(_tracesieve(folder, "report", "--last", "24h", "--json"))
                reports.append(command.seconds)
            say(f"d: report in {median(reports)} s")
            today = in_child("d", uri, str(traces))
    _agree(found, today, traces)
    seconds = median(reports)
    return {
        "traces": traces,
        "report_s": seconds,
        "report_cold_s": round(reports[0], 3),
        "search_traces_and_pandas_s": today["seconds"],
        "landing_and_counting_s": round(landing.seconds, 1),
        "numbers": {name: found[name] for name in ("traces", "errors", "p50_ms", "p95_ms", "tokens")},
        "goals": {
            "times_faster": goal(today["seconds"] / seconds, at_least=50),
            "report_s": goal(seconds, at_most=2.0),
        },
    }


def child(uri: str, traces: str) -> dict[str, Any]:
    """What people do today: all traces of the experiment by MLflow's client, then pandas."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    with timed() as timer:
        frame = mlflow.search_traces(locations=[experiment.experiment_id], max_results=int(traces) + 1000)
        end_ms = frame["request_time"] + frame["execution_duration"]
        frame = frame[end_ms >= time.time() * 1000 - 86_400_000]
        errors = frame["state"].astype(str).str.contains("ERROR").sum()
        usage = frame["trace_metadata"].map(lambda one: json.loads(one.get("mlflow.trace.tokenUsage", "{}")))
        tokens = sum(one.get("total_tokens", 0) for one in usage)
        duration = frame["execution_duration"].sort_values()
        quantiles = [float(duration.iloc[math.ceil(q * len(duration)) - 1]) for q in (0.5, 0.95)]
    return {
        "seconds": round(timer.seconds, 2),
        "traces": len(frame),
        "errors": int(errors),
        "tokens": int(tokens),
        "p50_ms": quantiles[0],
        "p95_ms": quantiles[1],
    }


def _agree(found: dict[str, Any], today: dict[str, Any], traces: int) -> None:
    """Counts exactly, quantiles within 1%.

    Raises:
        RuntimeError: they differ.
    """
    same = found["traces"] == today["traces"] == traces and found["errors"] == today["errors"]
    same &= found["tokens"]["total"] == today["tokens"]
    same &= all(abs(found[name] - today[name]) <= 0.01 * today[name] for name in ("p50_ms", "p95_ms"))
    if not same:
        raise RuntimeError(
            f"report and pandas differ: {found['traces']}, {found['errors']}, {found['tokens']}, "
            f"{found['p50_ms']}, {found['p95_ms']} against {today}"
        )


def _tracesieve(folder: Path, *arguments: str) -> str:
    code = "from tracesieve.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments, "-c", str(folder / "tracesieve.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"tracesieve {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def _fill(uri: str, database: Path, traces: int) -> None:
    """Log the templates, copy their rows to other ends, and take the templates themselves away."""
    import mlflow
    from mlflow import MlflowClient

    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment(EXPERIMENT)
    pick = random.Random(7)
    templates = [_logged(experiment, pick) for _ in range(TEMPLATES)]
    with sqlite3.connect(database, timeout=60) as base:
        base.row_factory = sqlite3.Row
        now_us = time.time_ns() // 1000 - MINUTE_US
        for number, template in enumerate(templates):
            ends = [now_us - (SPREAD_US * i) // traces for i in range(number, traces, TEMPLATES)]
            _copy(base, template, ends)
    client.delete_traces(experiment, trace_ids=templates)


def _logged(experiment: str, pick: random.Random) -> str:
    """One agent run with four child spans, through MLflow's client."""
    import mlflow
    from mlflow.entities import SpanStatusCode

    ms = round(min(pick.lognormvariate(7.3, 0.9), 60_000))
    end_ns = time.time_ns()
    start_ns = end_ns - ms * 1_000_000
    root = mlflow.start_span_no_context(
        "support-agent",
        inputs={"question": "where is my parcel?"},
        start_time_ns=start_ns,
        experiment_id=experiment,
        tags={"environment": pick.choice(["production", "staging"])},
    )
    for kind in ("RETRIEVER", "CHAT_MODEL", "TOOL", "CHAT_MODEL"):
        child_span = mlflow.start_span_no_context(
            kind.lower(), span_type=kind, parent_span=root, start_time_ns=start_ns
        )
        if kind == "CHAT_MODEL":
            used = pick.randrange(200, 4000), pick.randrange(20, 900)
            usage = {"input_tokens": used[0], "output_tokens": used[1], "total_tokens": sum(used)}
            child_span.set_attribute("mlflow.chat.tokenUsage", usage)
        child_span.set_outputs({"found": "a parcel " * 20})
        child_span.end(end_time_ns=end_ns)
    failed = pick.random() < 0.1
    root.end(
        outputs="on its way", status=SpanStatusCode.ERROR if failed else SpanStatusCode.OK, end_time_ns=end_ns
    )
    return str(root.trace_id)


def _copy(base: sqlite3.Connection, template: str, ends_us: list[int]) -> None:
    """The rows of a trace once more for each end, under ids of their own."""
    info = dict(base.execute("SELECT * FROM trace_info WHERE request_id = ?", [template]).fetchone())
    spans = [dict(row) for row in base.execute("SELECT * FROM spans WHERE trace_id = ?", [template])]
    sides = {
        name: [dict(row) for row in base.execute(f"SELECT * FROM {name} WHERE request_id = ?", [template])]
        for name in ("trace_tags", "trace_request_metadata")
    }
    rows: dict[str, list[dict[str, Any]]] = {"trace_info": [], "spans": [], **{name: [] for name in sides}}
    for end_us in ends_us:
        key = secrets.token_bytes(16)
        trace_id = f"tr-{key.hex()}"
        shift_ms = end_us // 1000 - info["timestamp_ms"] - info["execution_time_ms"]
        rows["trace_info"].append(
            {**info, "request_id": trace_id, "timestamp_ms": info["timestamp_ms"] + shift_ms}
        )
        for name, entries in sides.items():
            rows[name] += [{**entry, "request_id": trace_id} for entry in entries]
        rows["spans"] += [_span(span, trace_id, key, shift_ms * 1_000_000) for span in spans]
    for name, entries in rows.items():
        if entries:
            columns = list(entries[0])
            marks = ",".join("?" * len(columns))
            values = ([entry[column] for column in columns] for entry in entries)
            base.executemany(f"INSERT INTO {name} ({','.join(columns)}) VALUES ({marks})", values)


def _span(span: dict[str, Any], trace_id: str, key: bytes, shift_ns: int) -> dict[str, Any]:
    content = json.loads(span["content"])
    content["trace_id"] = base64.b64encode(key).decode()
    content["attributes"]["mlflow.traceRequestId"] = json.dumps(trace_id)
    times = ("start_time_unix_nano", "end_time_unix_nano")
    content |= {name: int(content[name]) + shift_ns for name in times}
    kept = {
        name: value for name, value in span.items() if name != "duration_ns"
    }  # the database computes that one
    return {
        **kept,
        **{name: span[name] + shift_ns for name in times},
        "trace_id": trace_id,
        "content": json.dumps(content),
    }

"""From a trace's end on an MLflow server to its tag, at 10 traces/s over 3 minutes: p50 and p95, and where
the time goes.

Arrivals and tokens are those of a production LLM service (AzureLLMInferenceDataset2023, conversation), the
arrivals stretched to 10 a second; without that file they are drawn from a seed. Traces go to a real server
over OTLP as they end, one in five fails and is tagged by the default pack; the monitor is ``tracesieve run``
in a process of its own. ``--size`` is the seconds of traffic. One run is the measurement: its figures are
over all tagged traces.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Options, goal, say
from benchmarks.mlflow_server import mlflow_server, wait_until
from sinks.base import MessageKind
from sinks.registry import SINKS, consumes
from store import Store, open_store

RATE = 10.0  # traces/s
SECONDS = 180
FAILS = 0.2
SETTLED_S = 60.0  # how long after the last trace a tag may take
_DATA = Path(os.environ.get("TRACESIEVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
_MAIN = "from tracesieve.cli import main; main()"


@dataclass(frozen=True)
class Arrival:
    """One request: when it ends, seconds after the beginning, and its tokens."""

    at_s: float
    tokens: tuple[int, int]
    fails: bool


def run(options: Options) -> dict[str, Any]:
    """The whole scenario."""
    seconds = options.sized(SECONDS)
    arrivals, source = _arrivals(seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracesieve-bench-")))
        uri = stack.enter_context(mlflow_server(folder))
        experiment = _experiment(uri)
        log = folder / "log"
        stack.enter_context(_monitor(folder, uri, log))
        say(f"{len(arrivals):,} traces over {seconds} s ({source})")
        tagged: dict[str, float] = {}
        done = threading.Event()
        watching = threading.Thread(target=_watch, args=(folder / "mlflow.db", tagged, done))
        watching.start()
        _warm_up(uri, experiment, tagged)
        ended, sending_ms = _send(uri, experiment, arrivals)
        failed = {trace for trace, arrival in zip(ended, arrivals, strict=True) if arrival.fails}
        deadline = time.monotonic() + SETTLED_S
        while not failed <= tagged.keys() and time.monotonic() < deadline:
            time.sleep(0.2)
        done.set()
        watching.join()
        store = open_store(str(folder / "st"), create=False)
        latencies = sorted(tagged[trace] - ended[trace] for trace in failed if trace in tagged)
        stages = _stages(store, ended)
    p50, p95 = _quantile(latencies, 0.5), _quantile(latencies, 0.95)
    return {
        "traces": len(ended),
        "tagged": len(latencies),
        "never_tagged": len(failed) - len(latencies),
        "seconds": seconds,
        "arrivals": source,
        "rate": round(len(ended) / seconds, 2),
        "sending_ms_p50": sending_ms,
        "to_tag_s": {"p50": p50, "p95": p95, "most": round(latencies[-1], 2) if latencies else None},
        "stages_p50_s": stages,
        "goals": {"end_to_tag_p95_s": goal(p95 if len(latencies) == len(failed) else None, at_most=10)},
    }


def _arrivals(seconds: int) -> tuple[list[Arrival], str]:
    rng = random.Random(20231116)
    rows = _azure(int(RATE * seconds * 1.5) + 10)
    if rows:
        times = [row[0] for row in rows[: int(RATE * seconds)]]
        stretch = seconds / (times[-1] - times[0])
        timed = [((at - times[0]) * stretch, row[1]) for at, row in zip(times, rows, strict=False)]
    else:
        timed, at = [], 0.0
        while (at := at + rng.expovariate(RATE)) < seconds:
            timed.append((at, (int(rng.lognormvariate(6.5, 1.0)), int(rng.lognormvariate(5.0, 0.8)))))
    return [
        Arrival(at, tokens, rng.random() < FAILS) for at, tokens in timed
    ], "azure_llm_2023" if rows else "a seed"


def _azure(most: int) -> list[tuple[float, tuple[int, int]]]:
    file = _DATA / "azure_llm_2023" / "conv.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        rows = [row for row, _ in zip(csv.DictReader(lines), range(most), strict=False)]
    return [
        (
            datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp(),
            (int(row["ContextTokens"]), int(row["GeneratedTokens"])),
        )
        for row in rows
    ]


def _experiment(uri: str) -> str:
    from mlflow import MlflowClient

    return str(MlflowClient(uri).create_experiment("support-agent"))


@contextmanager
def _monitor(folder: Path, uri: str, log: Path) -> Iterator[None]:
    config = folder / "tracesieve.yaml"
    config.write_text(
        "source: "
        f"{{kind: mlflow, tracking_uri: '{uri}', experiments: [support-agent], start: now}}\nstore: st\n"
        f"mlflow: {{tracking_uri: '{uri}'}}\nmetrics: null\nspark: {{memory: 1g}}\n"
    )
    with log.open("wb") as out:
        monitor = subprocess.Popen(
            [sys.executable, "-c", _MAIN, "run", "-c", str(config)], stdout=out, stderr=out
        )
        try:
            wait_until(lambda: "watching" in log.read_text(), monitor, log)
            yield
        finally:
            monitor.terminate()
            try:
                monitor.wait(40)
            except subprocess.TimeoutExpired:
                monitor.kill()


def _watch(database: Path, tagged: dict[str, float], done: threading.Event) -> None:
    """Note when a tag is seen in the server's own database: asking the server would slow it down."""
    seen = 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as base:
        while not done.wait(0.1):
            try:
                rows = base.execute(
                    "SELECT rowid, request_id FROM trace_tags WHERE rowid > ? AND key = 'eval_candidate'",
                    [seen],
                ).fetchall()
            except sqlite3.OperationalError:
                continue
            now = time.time()
            for row, trace in rows:
                seen = max(seen, row)
                tagged.setdefault(trace, now)


def _warm_up(uri: str, experiment: str, tagged: dict[str, float]) -> None:
    """Two tagged traces, one after the other: the first batch of a Spark session is not what is measured."""
    for _ in range(2):
        trace = f"tr-{_export(uri, experiment, Arrival(0, (10, 10), True), time.time())}"
        deadline = time.monotonic() + 90
        while trace not in tagged:
            if time.monotonic() > deadline:
                raise RuntimeError("the monitor tagged nothing within 90 s")
            time.sleep(0.2)


def _send(uri: str, experiment: str, arrivals: list[Arrival]) -> tuple[dict[str, float], float]:
    """By trace id the end, in the order of the arrivals; and the median time of an export, ms."""
    ended: dict[str, float] = {}
    took: list[float] = []
    begin = time.time() + 0.5
    for arrival in arrivals:
        time.sleep(max(begin + arrival.at_s - time.time(), 0))
        end = time.time()
        ended[f"tr-{_export(uri, experiment, arrival, end)}"] = end
        took.append((time.time() - end) * 1000)
    return ended, round(sorted(took)[len(took) // 2], 1)


def _export(uri: str, experiment: str, arrival: Arrival, end_s: float) -> str:
    """Send one trace over OTLP in one request; its id in hex."""
    import requests

    trace = secrets.token_bytes(16)
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    body = _otlp_request(arrival, trace, int(end_s * 1e9))
    requests.post(f"{uri}/v1/traces", data=body, headers=headers, timeout=60).raise_for_status()
    return trace.hex()


def _otlp_request(arrival: Arrival, trace: bytes, end_ns: int) -> bytes:
    """An agent with a retriever, a tool and a chat model."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    root = secrets.token_bytes(8)
    start_ns = (
        end_ns - min(200 + arrival.tokens[1] * 20, 9_000) * 1_000_000
    )  # not so slow that a rule matches
    usage = {
        "input_tokens": arrival.tokens[0],
        "output_tokens": arrival.tokens[1],
        "total_tokens": sum(arrival.tokens),
    }
    spans: list[tuple[str, str, dict[str, Any]]] = [
        (
            "support-agent",
            "AGENT",
            {"mlflow.spanInputs": {"question": trace.hex()}, "mlflow.spanOutputs": "x" * 500},
        ),
        ("search_docs", "RETRIEVER", {"mlflow.spanOutputs": [{"page_content": "y" * 500}]}),
        ("lookup_order", "TOOL", {"mlflow.spanOutputs": {"order": 1}}),
        ("answer", "CHAT_MODEL", {"mlflow.chat.tokenUsage": usage}),
    ]
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, (name, kind, attributes) in enumerate(spans):
        span = scope.spans.add()
        span.trace_id, span.name = trace, name
        span.span_id = root if number == 0 else secrets.token_bytes(8)
        span.parent_span_id = b"" if number == 0 else root
        span.start_time_unix_nano, span.end_time_unix_nano = start_ns, end_ns
        span.status.code = 2 if arrival.fails and number in (0, 3) else 1
        for key, value in {"mlflow.spanType": kind, **attributes}.items():
            attribute = span.attributes.add()
            attribute.key = key
            attribute.value.string_value = json.dumps(value)
    return bytes(request.SerializeToString())


def _stages(store: Store, ended: dict[str, float]) -> dict[str, float | None]:
    """Medians, from a trace's end: landed, batch begun (facts follow some 0.5 s later), enqueued."""
    import polars as pl

    landed = dict(
        store.table("traces").read(["trace_id", "landed_us"]).sort("landed_us", descending=True).iter_rows()
    )
    batches = store.table("batches").read(["batch_id", "phase", "now_us"]).filter(pl.col("phase") == "end")
    facts = store.table("facts").read(["trace_id", "batch_id", "weight"]).filter(pl.col("weight") > 0)
    begun = dict(facts.join(batches, on="batch_id").select("trace_id", "now_us").iter_rows())
    outbox = (
        store.table("outbox")
        .read(["sink", "target", "created_us"])
        .filter(pl.col("sink").is_in([name for name in SINKS if consumes(name, MessageKind.TAGS)]))
    )
    enqueued = dict(outbox.sort("created_us", descending=True).select("target", "created_us").iter_rows())
    return {
        "landed": _median(landed, ended),
        "batch_begun": _median(begun, ended),
        "enqueued": _median(enqueued, ended),
    }


def _median(times_us: dict[str, int], ended: dict[str, float]) -> float | None:
    return _quantile(
        sorted(times_us[trace] / 1e6 - end for trace, end in ended.items() if trace in times_us), 0.5
    )


def _quantile(ordered: list[float], q: float) -> float | None:
    return round(ordered[max(math.ceil(q * len(ordered)), 1) - 1], 2) if ordered else None

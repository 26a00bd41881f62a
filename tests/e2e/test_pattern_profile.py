"""docs/patterns/profile-by-span-type.md on traces in an MLflow database: the command and the script of today
see the same spans, and what the page says is wrong with the script is wrong with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.entities import SpanStatusCode
from support.counted_traces import count
from support.page_blocks import run_page

from store import open_store
from streams.sources.mlflow.rows import trace_row
from tracesieve.commands import profile

pytestmark = pytest.mark.e2e
PAGE = "docs/patterns/profile-by-span-type.md"
EXPERIMENT, TRACES = "support-agent", 20
MS = 1_000_000  # ns


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """A tracking URI of MLflow's own store, without a server."""
    before = mlflow.get_tracking_uri()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment(EXPERIMENT)
    yield uri
    mlflow.set_tracking_uri(before)


def log(experiment: str, number: int) -> None:
    """An agent plans, searches, looks an order up beside that, answers, and reports what its models used."""
    start = time.time_ns() - (number + 2) * 60_000 * MS
    search = 1300 + number * 80
    steps = [
        ("plan", "CHAT_MODEL", 0, 400, 400),
        ("search_documents", "RETRIEVER", 450, 450 + search, 0),
        ("lookup_order", "TOOL", 450, 1250, 0),
        ("answer", "CHAT_MODEL", 500 + search, 1100 + search, 800),
    ]
    root = mlflow.start_span_no_context(
        "agent", span_type="AGENT", start_time_ns=start, experiment_id=experiment
    )
    root.set_attribute(
        "mlflow.chat.tokenUsage", {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
    )
    for name, kind, begin, end, tokens in steps:
        span = mlflow.start_span_no_context(
            name, span_type=kind, parent_span=root, start_time_ns=start + begin * MS
        )
        if tokens:
            usage = {"input_tokens": tokens - 100, "output_tokens": 100, "total_tokens": tokens}
            span.set_attribute("mlflow.chat.tokenUsage", usage)
        failed = kind == "TOOL" and number % 10 == 0
        status = SpanStatusCode.ERROR if failed else SpanStatusCode.OK
        span.end(status=status, end_time_ns=start + end * MS)
    root.end(status=SpanStatusCode.OK, end_time_ns=start + (1150 + search) * MS)


def counted(folder: Path, traces: list[Any]) -> None:
    """A store in which these traces are counted, and its config."""
    rows = []
    for trace in traces:
        row = dict(trace_row(trace, EXPERIMENT))
        row |= {name: list((row[name] or {}).items()) for name in ("tags", "trace_metadata")}
        row["spans"] = [{**span, "attributes": list(span["attributes"].items())} for span in row["spans"]]
        rows.append(row)
    count(open_store(str(folder / "store")), 0, rows)
    (folder / "tracesieve.yaml").write_text(
        "source: {kind: delta_traces, table: store/traces}\nstore: store\n"
        "group_by: [experiment, environment]\n"
    )


def test_the_command_sees_what_the_script_does_and_says_what_it_cannot(tmp_path: Path, database: str) -> None:
    (experiment,) = (one.experiment_id for one in mlflow.search_experiments() if one.name == EXPERIMENT)
    for number in range(TRACES):
        log(experiment, number)
    mlflow.flush_trace_async_logging()
    counted(tmp_path, mlflow.search_traces(locations=[experiment], return_type="list"))
    _, printed = run_page(PAGE, tmp_path, {"http://127.0.0.1:5000": database})
    today = {
        kind: (int(calls), float(total), float(mean), int(used))
        for kind, calls, total, mean, used in map(str.split, printed.splitlines())
    }
    result = CliRunner().invoke(profile.command, ["-c", str(tmp_path / "tracesieve.yaml"), "--json"])
    found = {row["span_type"]: row for row in json.loads(result.output)["by_span_type"]}
    assert today.keys() == found.keys()
    for kind, (calls, total_ms, mean_ms, _) in today.items():
        row = found[kind]
        assert (row["calls"], row["total_ms"]) == (calls, pytest.approx(total_ms, abs=0.5))
        assert row["mean_ms"] == pytest.approx(mean_ms, abs=0.5)
    whole = found["AGENT"]["total_ms"]
    assert sum(one[1] for one in today.values()) > 2 * whole
    assert sum(row["critical_ms"] for row in found.values()) == pytest.approx(whole)
    assert found["TOOL"]["critical_ms"] == 0
    assert sum(one[3] for one in today.values()) == 2 * 1200 * TRACES
    assert sum(row["tokens"]["total"] or 0 for row in found.values()) == 1200 * TRACES

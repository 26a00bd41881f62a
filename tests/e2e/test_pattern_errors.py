"""The page "errors of the last day": its script on a real MLflow store, and the command beside it on facts of
the same traces say the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pyarrow as pa
import pytest
from support.doc_blocks import ROOT, blocks
from support.doc_run import lacking
from support.made_facts import fact
from support.mlflow_traces import log_trace

from rules.failures import fingerprint, masked
from rules.units import MINUTE_US
from store import open_store

pytestmark = pytest.mark.e2e
PAGE = ROOT / "docs/patterns/errors-of-the-last-day.md"
TRACES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store of forty traces in a file, and a store of facts of the same ones."""
    path = tmp_path_factory.mktemp("day")
    server = SimpleNamespace(uri=f"sqlite:///{path}/mlflow.db")
    mlflow.set_tracking_uri(server.uri)
    experiment = mlflow.create_experiment("support-agent")
    now = time.time_ns() // 1000
    facts = []
    for n in range(TRACES):
        end_us, ms, failed = now - (60 - n) * MINUTE_US, 100 + 20 * n + 10 * (n > 20), n % 10 == 0
        inputs = {"q": f"where is parcel {n}"}
        trace_id = log_trace(server, experiment, end_us, ms=ms, error=failed, inputs=inputs)  # type: ignore[arg-type]
        facts.append(counted(trace_id, experiment, end_us, ms, failed, n))
    mlflow.flush_trace_async_logging()
    store = open_store(str(path / "st"))
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate(facts)])
    (path / "tracesieve.yaml").write_text(
        "source: {kind: mlflow, tracking_uri: 'http://127.0.0.1:5000', experiments: [support-agent]}\n"
        "store: st\n"
    )
    (path / "errors_today.py").write_text(script().replace("http://127.0.0.1:5000", server.uri))
    return path


def script() -> str:
    return next(one.text for one in blocks(PAGE) if one.file == "errors_today.py")


def counted(trace_id: str, experiment: str, end_us: int, ms: int, failed: bool, n: int) -> dict[str, object]:
    """The fact of a trace; every tenth failed, two more met a failure and ended well."""
    times = {"start_us": end_us - ms * 1000, "end_us": end_us, "duration_us": ms * 1000}
    row = fact(
        trace_id, 0, error=failed, experiment_id=experiment, change_us=end_us, arrived_us=end_us, **times
    )
    if not failed and n not in (5, 15):
        return row
    kind, span = ("ConnectionError", "search") if failed else ("TimeoutError", "crm")
    message = f"orders service refused request {n}" if failed else f"crm did not answer within {n} s"
    failure = {
        "span_type": "TOOL",
        "span_name": span,
        "error_type": kind,
        "message": message,
        "pattern": fingerprint(kind, masked(pa.array([message])).to_pylist()[0]),
        "handled": not failed,
    }
    return {**row, "failure": json.dumps(failure)}


def printed(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracesieve(folder: Path, *options: str) -> str:
    return printed(folder, sys.executable, "-c", "from tracesieve.cli import main; main()", *options)


def test_the_script_and_the_command_print_what_the_page_shows_and_agree(folder: Path) -> None:
    shown = {
        command: output
        for one in blocks(PAGE)
        if one.language == "console"
        for command, output in one.exchanges()
    }
    of_script = printed(folder, sys.executable, "errors_today.py")
    of_command = tracesieve(folder, "report", "--last", "24h")
    assert lacking(shown["python errors_today.py"], of_script) is None, of_script
    assert lacking(shown["tracesieve report --last 24h"], of_command) is None, of_command
    document = json.loads(tracesieve(folder, "report", "--last", "24h", "--json"))
    rate, traces, p50, p95 = re.findall(r"[\d.]+(?=%)|(?<=of )\d+|(?<=P50 )\d+|(?<=P95 )\d+", of_script)
    assert (f"{document['success_rate']:.1%}", document["traces"]) == (f"{rate}%", int(traces))
    assert document["p50_ms"] == pytest.approx(float(p50), abs=25)  # pandas interpolates between two traces
    assert document["p95_ms"] == pytest.approx(float(p95), abs=25)


def test_what_the_page_runs_each_morning_runs(folder: Path) -> None:
    (block,) = [one for one in blocks(PAGE) if one.language == "sh"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-e", "-c", block.text], cwd=folder, check=True, env={**os.environ, "PATH": path})
    (page,) = folder.glob("report-*.html")
    for text in (page.read_text("utf-8"), (folder / "report.md").read_text("utf-8")):
        assert "orders service refused request" in text
        assert "http://127.0.0.1:5000/#/experiments/1/traces/tr-" in text


def test_what_the_page_says_breaks_does(folder: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = mlflow.get_experiment_by_name("support-agent").experiment_id
    found = mlflow.search_traces(locations=[experiment], include_spans=False, max_results=5)
    for old, new in {
        "status": "state",
        "execution_time_ms": "execution_duration",
        "timestamp_ms": "request_time",
    }.items():
        assert old not in found.columns and new in found.columns
    assert found["request"].isna().all()

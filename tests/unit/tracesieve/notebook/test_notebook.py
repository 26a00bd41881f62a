"""The Python API, and the blocks of docs/python.md, on a store that is filled without Java."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from support.counted_traces import GROUP_BY, count
from support.doc_blocks import ROOT, blocks

import tracesieve
from store import open_store
from store.windows import partials
from tracesieve.errors import TracesieveError
from tracesieve.notebook import plots
from tracesieve.notebook.monitor import Monitor

NOW = time.time_ns() // 1000
MINUTE = 60_000_000


def span(
    name: str, kind: str, parent: str | None, start: int, took_ms: int, status: str = "OK"
) -> dict[str, Any]:
    return {
        "span_id": name,
        "parent_id": parent,
        "name": name,
        "start_time": start,
        "end_time": start + took_ms * 1000,
        "status_code": status,
        "status_message": "no index for tenant 7" if status == "ERROR" else "",
        "attributes": [("mlflow.spanType", json.dumps(kind)), ("mlflow.spanInputs", '{"q": 1}')],
    }


def trace(n: int) -> dict[str, Any]:
    start, failed = NOW - (n + 2) * 20 * MINUTE, n % 3 == 0
    return {
        "trace_id": f"tr-{n:02}",
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": start,
        "state": "ERROR" if failed else "OK",
        "execution_duration_ms": 3000.0 if n % 2 else 100.0,
        "request": f"question {n}",
        "response": None if failed else f"answer {n}",
        "tags": [("environment", "production" if n % 2 else "test"), ("tier", str(n % 2))],
        "trace_metadata": [
            ("mlflow.trace.user", "eve" if n == 1 else "bob"),
            ("mlflow.trace.tokenUsage", '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}'),
            ("mlflow.trace.cost", '{"total_cost": 0.25}'),
        ],
        "spans": [
            span("agent", "AGENT", None, start, 100),
            span("search", "TOOL", "agent", start, 80, "ERROR" if failed else "OK"),
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("notebook")
    store = open_store(str(place / "store"))
    count(store, 1, [trace(n) for n in range(12)])
    windows = partials(store.table("facts").read()).with_columns(
        pl.lit("s").alias("stream_id"), pl.lit(1, pl.Int64).alias("batch_id")
    )
    store.table("windows").append(windows)
    (place / "tracesieve.yaml").write_text(
        "source: {kind: mlflow, tracking_uri: 'http://127.0.0.1:9', experiments: [support]}\n"
        f"store: store\ngroup_by: {json.dumps(list(GROUP_BY))}\n"
    )
    return place


@pytest.fixture
def monitor(folder: Path) -> Monitor:
    return tracesieve.open(folder / "tracesieve.yaml")


def test_facts_are_a_row_a_trace_with_readable_columns(monitor: Monitor) -> None:
    facts = monitor.facts()
    assert facts.height == 12
    assert facts["end"].is_sorted()
    one = facts.filter(pl.col("trace_id") == "tr-03").to_dicts()[0]
    assert one["start"] == dt.datetime.fromtimestamp((NOW - 100 * MINUTE) / 1e6, dt.UTC)
    assert (one["environment"], one["experiment"], one["error"]) == ("production", "support", True)
    assert (one["duration_ms"], one["tokens_total"], one["cost_usd"]) == (3000.0, 7, 0.25)
    assert (one["failure_span_name"], one["failure_message"]) == ("search", "no index for tenant 7")
    assert monitor.facts(where="user = 'eve'")["trace_id"].to_list() == ["tr-01"]
    assert list(facts.to_pandas().columns) == facts.columns
    assert monitor.facts(last="1m").is_empty()


def test_search_says_where_it_looked(monitor: Monitor) -> None:
    found = monitor.search("status = 'ERROR' OR user = 'eve'")
    assert sorted(found.traces["trace_id"]) == ["tr-00", "tr-01", "tr-03", "tr-06", "tr-09"]
    assert repr(found) == "<5 of 12 traces match (support: 5 of 12)>"
    assert found.experiments.to_dicts() == [
        {"id": "1", "name": "support", "watched": True, "traces": 12, "matched": 5}
    ]
    with pytest.raises(TracesieveError, match=r"experiment suport: .*did you mean support"):
        monitor.search("status = 'ERROR'", experiment="suport")


def test_content_has_the_fields_that_are_asked_for(monitor: Monitor) -> None:
    traces = monitor.traces(fields=["request", "user", "tags.tier", "tokens.total"])
    assert traces.columns[4:] == ["request", "user", "tags.tier", "tokens.total"]
    one = traces.filter(pl.col("trace_id") == "tr-01").to_dicts()[0]
    assert (one["request"], one["user"], one["tags.tier"], one["tokens.total"]) == (
        "question 1",
        "eve",
        "1",
        7.0,
    )
    with pytest.warns(UserWarning, match="12 traces match; the newest 3 are given"):
        assert sorted(monitor.traces(limit=3)["trace_id"]) == ["tr-00", "tr-01", "tr-02"]
    with pytest.raises(TracesieveError, match=r"fields: spans, span\.name: not of a trace; there are"):
        monitor.traces(fields=["spans", "span.name"])


def test_spans_are_rows_that_need_no_unpacking(monitor: Monitor) -> None:
    spans = monitor.spans(
        where="status = 'ERROR'", fields=["name", "type", "status", "duration_ms", "inputs"]
    )
    assert spans.height == 8
    tool = spans.filter((pl.col("trace_id") == "tr-03") & (pl.col("type") == "TOOL")).to_dicts()[0]
    assert (tool["parent_id"], tool["status"], tool["duration_ms"], tool["inputs"]) == (
        "agent",
        "ERROR",
        80.0,
        '{"q": 1}',
    )
    assert (tool["end"] - tool["start"]) == dt.timedelta(milliseconds=80)
    empty = monitor.spans(where="user = 'nobody'")
    assert (empty.height, empty.columns) == (
        0,
        [*spans.columns[:5], "name", "type", "status", "status_message", "duration_ms"],
    )


def test_an_amended_trace_comes_once_as_it_was_counted(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    count(store, 1, [trace(1), trace(2)])
    count(store, 2, [{**trace(1), "state": "ERROR", "request": "amended"}])
    (tmp_path / "c.yaml").write_text((folder / "tracesieve.yaml").read_text())
    traces = tracesieve.open(tmp_path / "c.yaml").traces()
    assert traces.select("trace_id", "state", "request").rows() == [
        ("tr-02", "OK", "question 2"),
        ("tr-01", "ERROR", "amended"),
    ]


def test_content_that_is_gone_is_a_warning(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    count(store, 1, [trace(1), trace(2)])
    DeltaTable(store.table("traces").uri).delete()
    (tmp_path / "c.yaml").write_text((folder / "tracesieve.yaml").read_text())
    monitor = tracesieve.open(tmp_path / "c.yaml")
    with pytest.warns(UserWarning, match="of 2 traces the content is gone"):
        assert monitor.facts(where="user = 'eve'").is_empty()
    assert monitor.search("user = 'eve'").content_gone == 2
    assert monitor.traces().is_empty()


def test_windows_add_up_to_the_facts(monitor: Monitor) -> None:
    windows, facts = monitor.windows(), monitor.facts()
    assert windows["traces"].sum() == facts.height
    assert windows["errors"].sum() == facts["error"].sum()
    assert windows["cost_usd"].sum() == pytest.approx(facts["cost_usd"].sum())
    assert set(windows["minutes"]) == {60}
    assert set(windows["environment"]) == {"production", "test"}
    of_test = windows.filter(pl.col("environment") == "test")
    assert of_test["p95_ms"].max() == pytest.approx(100, rel=0.006)
    for wrong in ("90s", "soon"):
        with pytest.raises(TracesieveError, match="every="):
            monitor.windows(every=wrong)


def test_reports_and_profiles_have_the_documents_of_the_commands(monitor: Monitor) -> None:
    report = monitor.report()
    assert (report.document["traces"], report.document["errors"]) == (12, 4)
    assert report.groups["traces"].sum() == 12
    assert report.patterns["traces"].to_list() == [4]
    assert report.patterns["last_seen"].dtype == pl.Datetime("us", "UTC")
    assert monitor.patterns()["pattern"].to_list() == report.patterns["pattern"].to_list()
    profile = monitor.profile()
    assert set(profile.by_span_type["span_type"]) == {"AGENT", "TOOL"}
    assert profile.tools["success_rate"].to_list() == [pytest.approx(8 / 12)]
    assert "search" in str(profile.bottleneck)
    assert monitor.datasets().is_empty()


def test_plots_are_plain_axes_with_what_the_frames_hold(monitor: Monitor) -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    report, profile = monitor.report(), monitor.profile()
    assert report.plot(ax) is ax
    heights = [sum(bar.get_height() for bar in bars) for bars in ax.containers]
    assert heights == [12, 4]
    assert [line.get_label() for line in report.plot_latency().lines] == ["P50", "P95"]
    assert {line.get_label() for line in plots.latency(monitor.windows()).lines} == {
        f"{quantile} support/{environment}"
        for quantile in ("P50", "P95")
        for environment in ("test", "production")
    }
    names = [text.get_text() for text in profile.plot().get_yticklabels()]
    assert names == ["agent", "search"]
    assert len(report.plot_patterns().patches) == 1
    plt.close("all")


def test_empty_ranges_can_be_plotted_and_shown(monitor: Monitor) -> None:
    import matplotlib.pyplot as plt

    report, profile = monitor.report(last="1m"), monitor.profile(last="1m")
    for axes in (report.plot(), report.plot_latency(), report.plot_patterns(), profile.plot()):
        assert axes.figure is not None
    assert "0 traces" in repr(report) + repr(profile)
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"last": "1h", "start": "2026-01-01"}, "last goes without start and end"),
        ({"last": "soon"}, "write a duration"),
        ({"start": "2026-02-01", "end": "2026-01-01"}, "is not before"),
        ({"end": "yesterday"}, "is not a time"),
        ({"where": "usr = 'eve'"}, "where: unknown field `usr`"),
    ],
)
def test_a_mistake_is_one_error_in_words(monitor: Monitor, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TracesieveError, match=message):
        monitor.facts(**arguments)


def test_the_blocks_of_the_page_run_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(folder)
    space: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "python.md"):
        exec(compile(block.text, block.place, "exec"), space)
    assert space["found"].traces.height == 5
    assert space["spans"].height
    assert space["traces"]["tags.tier"].to_list() == ["1"] * 6
    assert space["profile"].bottleneck
    plt.close("all")


def test_opening_and_reading_start_no_java_and_load_no_plots(folder: Path) -> None:
    script = (
        "import sys, tracesieve\n"
        "monitor = tracesieve.open('tracesieve.yaml')\n"
        "monitor.facts(where=\"user = 'eve'\"); monitor.report(); monitor.profile(); monitor.spans()\n"
        "print([name for name in ('pyspark', 'mlflow', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr

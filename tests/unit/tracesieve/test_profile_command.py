"""``tracesieve profile`` at the terminal: its documents, one trace as a tree, hostile and huge traces."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from support.counted_traces import count

from store import open_store
from tracesieve.commands import profile
from tracesieve.exits import exit_code_of

NOW = time.time_ns() // 1000
START = NOW - 600_000_000
EVIL = "\x1b[2J\x1b]0;owned\x07[red]日本語 \u202egnp.exe"
ROW = {
    *("calls", "errors", "total_ms", "mean_ms", "p50_ms", "p95_ms", "self_ms", "critical_ms"),
    *("critical_share", "parallel_ms", "tokens", "cost_usd"),
}


def span(
    span_id: str, parent: str | None, name: str, kind: str, start: int, end: int, **more: Any
) -> dict[str, Any]:
    """Times in ms after the start of the trace."""
    return {
        "span_id": span_id,
        "parent_id": parent,
        "name": name,
        "start_time": START + start * 1000,
        "end_time": START + end * 1000,
        "status_code": "OK",
        "attributes": [("mlflow.spanType", json.dumps(kind))],
        **more,
    }


def trace(trace_id: str, spans: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "trace_id": trace_id,
        "experiment_name": "support",
        "request_time": START,
        "state": "OK",
        "execution_duration_ms": 1000.0,
        "spans": spans,
    }


AT_ONCE = [
    span("r", None, "agent", "AGENT", 0, 1000),
    span("a", "r", "app.search", "TOOL", 100, 300),
    span("b", "r", "app.fetch", "TOOL", 100, 900, status_code="ERROR"),
]


def many(size: int) -> list[dict[str, Any]]:
    r = random.Random(3)
    found = [span("s0", None, "agent", "AGENT", 0, size)]
    for place in range(1, size):
        start = r.randrange(size)
        parent = f"s{r.randrange(place)}"
        found.append(span(f"s{place}", parent, f"step {place % 90}", "TOOL", start, start + r.randrange(9)))
    return found


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("profile")
    hostile = [span("r", None, EVIL * 20, "AGENT", 0, 1000), span("x", "r", EVIL, EVIL, 0, 900)]
    spans = {"t-once": AT_ONCE, "t-evil": hostile, "t-none": [], "t-huge": many(30_000)}
    count(open_store(str(folder / "st")), 0, [trace(*one) for one in spans.items()])
    file = folder / "c.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: st/traces}\nstore: st\ngroup_by: [experiment, environment]\n"
    )
    return str(file)


def run(config: str, *arguments: str) -> Result:
    return CliRunner().invoke(profile.command, ["-c", config, *arguments])


def of(config: str, *arguments: str) -> dict[str, Any]:
    result = run(config, "--json", *arguments)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.output)
    return document


def test_the_documents_have_the_keys_that_scripts_rely_on(config: str) -> None:
    document = of(config, "--last", "1h")
    assert {"from", "to", "traces", "by_span_type", "by_span_name", "bottleneck"} <= document.keys()
    assert document["traces"] == 4
    assert all(row.keys() == ROW | {"span_type"} for row in document["by_span_type"])
    assert all(row.keys() == ROW | {"span_name", "span_type"} for row in document["by_span_name"])
    assert all(row["tokens"].keys() == {"input", "output", "total"} for row in document["by_span_type"])
    one, none = of(config, "t-once", "t-none")["traces"]
    assert {"trace_id", "duration_ms", "by_span_type", "bottleneck"} <= one.keys()
    assert (one["trace_id"], one["duration_ms"]) == ("t-once", 1000.0)
    assert one["bottleneck"].startswith("app.fetch (TOOL) takes 80% of the time")
    assert (none["by_span_type"], none["bottleneck"]) == ([], None)


def test_a_trace_is_a_tree_with_bars_light_where_nobody_waited(config: str) -> None:
    result = run(config, "t-on")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "t-once: OK, 1,000 ms, 3 spans"
    names = ["agent AGENT", "  ! app.fetch TOOL", "  app.search TOOL"]
    assert all(line.startswith(name) for line, name in zip(lines[2:5], names, strict=True))
    agent, fetch, search = (len(line) - len(line.rstrip("█░")) for line in lines[2:5])
    assert agent * 0.75 < fetch < agent * 0.85
    assert agent * 0.15 < search < agent * 0.25
    assert [line[-1] for line in lines[2:5]] == ["█", "█", "░"]
    assert "app.fetch (TOOL) takes 80% of the time" in result.output


@pytest.mark.parametrize("arguments", [(), ("t-once",), ("t-evil",), ("t-huge",), ("t-none",)])
def test_nothing_is_wider_than_the_terminal_or_obeyed_by_it(config: str, arguments: tuple[str, ...]) -> None:
    result = run(config, *arguments)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == []
    assert not set("\x1b\x07\u202e") & set(result.output)
    assert len(lines) < 150


def test_of_thirty_thousand_spans_the_longest_are_shown_and_all_are_counted(config: str) -> None:
    (document,) = of(config, "t-huge")["traces"]
    assert document["spans"] == sum(row["calls"] for row in document["by_span_type"]) == 30_000
    tree = run(config, "t-huge").output.partition("span type")[0].splitlines()[2:]
    assert sum("…" not in line and bool(line) for line in tree) == 60
    assert any("… " in line and " more " in line for line in tree)


def test_what_does_not_go_together_or_is_not_there_is_one_message(config: str) -> None:
    gone = "there is no trace gone in the store or its source\nthere is no trace lost in"
    for arguments, code, message in (
        (("t-once", "--last", "1h", "--rule", "x"), 2, "--last, --rule: not beside TRACE_ID"),
        (("--group", "experiment"), 2, "--group experiment: write KEY=VALUE"),
        (("--group", "model=x"), 2, "a key of group_by (experiment, environment)"),
        (("t-once", "gone", "lost"), 1, gone),
        (("t-",), 2, "4 traces begin with t-: t-evil, t-huge, t-none, t-once"),
    ):
        result = run(config, *arguments)
        assert isinstance(result.exception, Exception)
        assert message in str(result.exception)
        assert exit_code_of(result.exception) == code


def test_a_group_may_be_named_by_several_keys(config: str) -> None:
    assert of(config, "--group", "experiment=support", "--group", "environment=")["traces"] == 4
    assert of(config, "--group", "experiment=other")["traces"] == 0


def test_a_span_is_waited_for_through_those_below_it(tmp_path: Path) -> None:
    """An agent whose calls take all of its time has none of its own, and is on the critical path too."""
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: st/traces}\nstore: st\n")
    spans = [
        span("w0", None, "agent", "AGENT", 0, 1000),
        span("w1", "w0", "chain", "CHAIN", 0, 1000),
        span("w2", "w1", "model", "LLM", 0, 1000),
    ]
    count(open_store(str(tmp_path / "st")), 0, [trace("w-all", spans)])
    lines = run(str(config), "w-all").output.splitlines()[2:5]
    assert [line[-1] for line in lines] == ["█"] * 3

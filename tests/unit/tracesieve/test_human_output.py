"""What a person reads: within 80 columns, with nothing in it that the terminal would obey, whatever the
traces hold.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from rich.cells import cell_len
from support.made_facts import fact

from rules.units import MINUTE_US, utc
from store import open_store
from store.schemas import TRACES
from tracesieve.commands import alerts, explain, outbox, report, rules
from tracesieve.terminal import pointed

EVIL = "\x1b[2J\x1b]0;owned\x07[red]日本語 \u202egnp.exe"
LONG = "name-" * 60


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A store and a source whose every text is long and hostile."""
    now = time.time_ns() // 1000
    start = now - 2 * MINUTE_US
    store = open_store(str(tmp_path / "st"))
    store.table("facts").append([hostile_fact(number, start) for number in range(4)])
    store.table("notifications").append([hostile_notification(start, now)])
    message = {"key": "tags:1", "sink": "mlflow_tags", "target": EVIL}
    store.table("outbox").append([{**message, "seq": 1, "created_us": now}])
    store.table("deliveries").append([{**message, "outcome": "dead", "detail": EVIL + LONG, "at_us": now}])
    schema = TRACES.remove(TRACES.get_field_index("landed_us"))
    write_deltalake(str(tmp_path / "traces"), pa.Table.from_pylist([hostile_trace(start)], schema=schema))
    (tmp_path / "rules.yaml").write_text(
        "version: 1\nrules:\n  - id: env\n    tag: t\n"
        "    when: (status = 'OK' OR tags.environment LIKE '%日本%') AND NOT execution_time_ms > 5\n"
    )
    file = tmp_path / "c.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [packs/default, rules.yaml]\n"
    )
    return str(file)


def hostile_fact(number: int, start_us: int) -> dict[str, Any]:
    return fact(
        f"{EVIL}{number}",
        0,
        error=number % 2 == 0,
        group=[f"{EVIL}{LONG}", LONG, ""],
        start_us=start_us,
        end_us=start_us + 1000,
        experiment=EVIL,
        group_by=["experiment", "trace_name", "environment"],
        stream_id="s",
        batch_id=0,
    )


def hostile_notification(start_us: int, now_us: int) -> dict[str, Any]:
    return {
        "key": "k",
        "episode": "e",
        "status": "firing",
        "rule": "error-rate-high",
        "severity": "critical",
        "by": ["experiment", "trace_name"],
        "group": [EVIL + LONG, LONG],
        "starts_us": start_us,
        "instant_us": now_us,
        "value": 0.5,
        "condition": "error_rate > 0.05",
        "summary": f"{EVIL} is met with 0.5 over 4 traces: {LONG}",
        "traces": 4,
        "errors": 2,
        "evidence": [f"{EVIL}{n}" for n in range(9)],
        "paged": True,
        "notified_us": now_us,
    }


def hostile_trace(start_us: int) -> dict[str, Any]:
    span = {
        "span_id": "s",
        "name": EVIL,
        "start_time": utc(start_us),
        "status_code": "ERROR",
        "attributes": [("mlflow.spanType", '"TOOL"')],
        "status_message": EVIL,
    }
    return {
        "trace_id": f"{EVIL}0",
        "experiment_id": "1",
        "experiment_name": EVIL,
        "request": EVIL,
        "response": LONG,
        "request_time": utc(start_us),
        "state": "ERROR",
        "execution_duration_ms": 1.0,
        "tags": [("environment", EVIL + LONG)],
        "trace_metadata": [],
        "assessments": [],
        "spans": [span],
    }


COMMANDS = {
    "report": (report.command, []),
    "report --by": (report.command, ["--by", "experiment"]),
    "alerts": (alerts.command, ["list"]),
    "outbox": (outbox.command, ["list"]),
    "explain": (explain.command, [f"{EVIL}0"]),
    "rules": (rules.command, ["list"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_fits_80_columns_and_holds_nothing_that_a_terminal_obeys(name: str, config: str) -> None:
    command, arguments = COMMANDS[name]
    done = CliRunner().invoke(command, [*arguments, "-c", config], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for line in done.output.splitlines():
        assert cell_len(line) <= 80, line
    assert done.output.replace("\n", "").isprintable(), ascii(done.output)
    if name not in ("rules",):
        assert "[red]" in done.output  # shown as it is, not obeyed
        assert "\\x1b" in done.output


def test_explain_marks_the_parts_that_decided(config: str) -> None:
    done = CliRunner().invoke(explain.command, [f"{EVIL}0", "-c", config], catch_exceptions=False)
    lines = done.output.splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("yes   env:"))
    parts = [line for line in lines[begin + 1 :] if line.strip().startswith(("*", "yes", "no", "null"))]
    assert [line.split()[:2] for line in parts if line.startswith("      * ")] == [
        ["*", "yes"],
        ["*", "yes"],
    ], "\n".join(lines)


@pytest.mark.parametrize(
    ("line", "column", "shown", "caret"),
    [
        ("  when: x = 1", 9, "when: x = 1", 6),
        ("x", 1, "x", 0),
        ("", 1, "", 0),
        ("日本 = x", 6, "日本 = x", 7),
        ("a\x1b b", 4, "a\\x1b b", 6),
        ("x" * 200, 1, "x" * 74 + "…", 0),
    ],
)
def test_a_caret_stands_under_a_place_of_a_line(line: str, column: int, shown: str, caret: int) -> None:
    assert pointed(line, column) == ["    " + shown, "    " + " " * caret + "^"]


def test_of_a_long_line_the_part_around_the_caret_is_shown() -> None:
    text, caret = pointed("a" * 100 + "b" + "c" * 100, 101)
    assert text[caret.index("^")] == "b" and len(text) <= 80 and text.strip()[0] == text[-1] == "…"

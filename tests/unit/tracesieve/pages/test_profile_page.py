"""``profile --html``: a range, a comparison and traces as pages; everything in them, nothing of it obeyed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.counted_traces import count
from support.page_reader import Read

from store import open_store
from tracesieve.commands import profile
from tracesieve.errors import TracesieveError
from tracesieve.pages.elements import visible

START = time.time_ns() // 1000 - 600_000_000
EVIL = "</code><script>alert(1)</script>\x1b[2J\u202enp"
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "main", "section", "h2", "p", "div"),
    *("dl", "dt", "dd", "small", "table", "thead", "tbody", "tr", "th", "td", "code", "svg", "rect"),
    *("details", "summary"),
}


def span(
    place: int, parent: int | None, name: str, kind: str, start: int, end: int, **more: Any
) -> dict[str, Any]:
    """Times in ms after the start of the trace."""
    return {
        "span_id": f"{place:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "name": name,
        "start_time": START + start * 1000,
        "end_time": START + end * 1000,
        "status_code": "OK",
        "attributes": [("mlflow.spanType", json.dumps(kind))],
        **more,
    }


SPANS = [
    span(0, None, "agent", "AGENT", 0, 1000),
    span(1, 0, EVIL, EVIL, 0, 250),
    span(2, 0, "fetch", "TOOL", 250, 1000, status_code="ERROR"),
    span(3, 0, "beside", "TOOL", 300, 500),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    rows = [
        {
            "trace_id": f"t{number}",
            "experiment_id": "1",
            "experiment_name": EVIL,
            "request_time": START + number,
            "state": "OK",
            "execution_duration_ms": 1000.0,
            "tags": [("release", EVIL if number % 2 else "1.4")],
            "spans": [{**one, "span_id": f"{number:x}{one['span_id']}"[-16:]} for one in spans],
        }
        for number, spans in enumerate([SPANS, [], *([SPANS[:1]] * 30)])
    ]
    many = [
        span(1000 + n, None if n == 0 else 1000 + n // 2, f"step {n}", "TOOL", n, 2000) for n in range(900)
    ]
    rows.append({**rows[1], "trace_id": "huge", "spans": many})
    count(open_store(str(path / "st")), 0, rows)
    (path / "c.yaml").write_text(
        "source: {kind: delta_traces, table: st/traces}\nstore: st\ngroup_by: [experiment, environment]\n"
    )
    return path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(profile.command, ["-c", str(folder / "c.yaml"), *arguments])


def read(folder: Path, *arguments: str) -> tuple[str, Read]:
    file = folder / "page.html"
    result = run(folder, *arguments, "--html", str(file))
    assert (result.exit_code, result.output) == (0, ""), result.exception
    text = file.read_text(encoding="utf-8")
    return text, Read(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--last", "1h", "--by", "experiment"),
        ("--last", "1h", "--compare", f"tags.release=1.4,{EVIL}"),
        ("t0", "t1", "huge"),
    ],
)
def test_nothing_of_a_trace_is_obeyed_and_nothing_is_loaded(folder: Path, arguments: tuple[str, ...]) -> None:
    text, page = read(folder, *arguments)
    assert {tag for tag, _ in page.tags} <= ALLOWED
    assert not {"\x1b", "\u202e"} & set(text)
    assert not any({"src", "href", "onload", "style"} & attributes.keys() for _, attributes in page.tags)
    if arguments[0] != "--last" or "--by" in arguments:
        assert visible(EVIL) in "".join(page.texts)


def test_a_range_has_its_rows_bars_and_groups(folder: Path) -> None:
    _, page = read(folder, "--last", "1h", "--by", "environment", "--where", "state = 'OK'")
    texts = "\n".join(page.texts)
    for wanted in (
        "By span type",
        "By span name",
        "Tools",
        "Groups",
        "fetch",
        "33 of 33 traces match state = 'OK'",
    ):
        assert wanted in texts
    document = json.loads(run(folder, "--last", "1h", "--json").output)
    shares = [row["critical_share"] for key in ("by_span_type", "by_span_name") for row in document[key]]
    widths = [float(one["width"] or 0) for tag, one in page.tags if tag == "rect"]
    assert widths[: len(shares)] == pytest.approx([max(200 * share, 1) for share in shares], abs=0.06)


def test_a_trace_is_a_waterfall_whose_bars_stand_where_its_spans_ran(folder: Path) -> None:
    _, page = read(folder, "t0")
    bars = [one for tag, one in page.tags if tag == "rect"][:4]
    places = [(float(one["x"] or 0), float(one["width"] or 0), one["class"]) for one in bars]
    assert places == [
        (0, 200, "bar hot"),  # waited for, though all of its time is that of spans below it
        (0, 50, "bar hot"),
        (50, 150, "bar bad"),
        (60, 40, "bar faint"),
    ]
    titles = [one["aria-label"] for tag, one in page.tags if tag == "svg"][:4]
    assert titles[2] == "begins at 250 ms, takes 750 ms, failed"
    texts = page.texts
    assert texts[texts.index("fetch") - 1] == "\u00a0" * 4
    assert any("takes 75% of the time" in text for text in texts)


def test_a_trace_without_spans_and_a_huge_one(folder: Path) -> None:
    text, page = read(folder, "t1", "huge")
    assert "It has no spans." in page.texts
    assert sum(tag == "rect" for tag, _ in page.tags) < 520
    assert any(" more" in one for one in page.texts)
    assert len(text) < 500_000


def test_a_trace_links_to_its_page_on_the_server(folder: Path) -> None:
    config = folder / "server.yaml"
    server = "mlflow: {tracking_uri: 'https://mlflow.example/base'}\n"
    config.write_text((folder / "c.yaml").read_text() + server)
    result = CliRunner().invoke(profile.command, ["-c", str(config), "t0", "--html", "-"])
    (link,) = (one["href"] for tag, one in Read(result.output).tags if tag == "a")
    assert link == "https://mlflow.example/base/#/experiments/1/traces/t0"


def test_a_page_goes_to_stdout_or_says_why_it_cannot_be_written(folder: Path) -> None:
    assert run(folder, "t0", "--html", "-").output.startswith("<!doctype html>")
    with pytest.raises(TracesieveError, match="--json: not beside --html"):
        profile.command.main(
            ["-c", str(folder / "c.yaml"), "--json", "--html", "x.html"], standalone_mode=False
        )
    failed = run(folder, "--last", "1h", "--html", str(folder / "no" / "x.html"))
    assert "cannot be written" in str(failed.exception)

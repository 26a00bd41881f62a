"""How far ``run --once`` is: a rewritten line on a terminal, lines of the log elsewhere."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator

import pytest

from tracesieve.log import StatusHandler, set_up_logging, status_line
from tracesieve.run.progress import Progress, of_about


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def shown_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, form: str = "text") -> None:
    monkeypatch.setattr("sys.stderr", stream)
    set_up_logging("info", form)


def screen(written: str) -> list[str]:
    """What a terminal shows of it."""
    lines = [""]
    for part in written.replace("\r\x1b[2K", "\x00").replace("\n", "\n\x00").split("\n"):
        for number, text in enumerate(part.split("\x00")):
            lines[-1] = text if number else lines[-1] + text
        lines.append("")
    return [line for line in lines if line]


def test_the_line_is_rewritten_below_the_lines_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    shown_on(terminal, monkeypatch)
    show = status_line()
    assert show is not None
    show("landing: 1 traces")
    logging.getLogger("tracesieve.run").warning("a server is slow")
    show("landing: 2 traces\x1b[31m")
    assert [line.partition(" ")[2] for line in screen(terminal.getvalue())[:1]] == [
        "WARNING tracesieve.run: a server is slow"
    ]
    assert screen(terminal.getvalue())[1:] == ["landing: 2 traces\\x1b[31m"]
    show("")
    assert len(screen(terminal.getvalue())) == 1


@pytest.mark.parametrize(("stream", "form"), [(io.StringIO(), "text"), (Terminal(), "json")])
def test_what_is_no_terminal_gets_no_escape_sequences(
    stream: io.StringIO, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_on(stream, monkeypatch, form)
    assert status_line() is None
    logging.getLogger("tracesieve.run").info("hello")
    assert "\x1b" not in stream.getvalue() and "hello" in stream.getvalue()


def test_a_handler_without_a_line_writes_as_any_other() -> None:
    stream = io.StringIO()
    StatusHandler(stream).emit(logging.makeLogRecord({"msg": "x"}))
    assert stream.getvalue() == "x\n"


def test_each_stage_is_shown_until_the_next_and_one_that_cannot_be_described_harms_nothing() -> None:
    shown: list[str] = []
    seen = threading.Event()

    def show(text: str) -> None:
        shown.append(text)
        seen.set()

    def shown_next() -> str:
        seen.clear()
        assert seen.wait(10)
        return shown[-1]

    def broken() -> str:
        raise OSError("no")

    with Progress(show, 0.01) as progress:
        assert shown_next().startswith("starting, ")
        progress.stage(broken)
        progress.stage(lambda: f"landing: {of_about(1200, 5000, 'traces')}")
        while not shown_next().startswith("landing: 1,200 of about 5,000 traces, "):
            pass
    assert shown[-1] == ""


def test_in_a_pipe_it_is_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracesieve.run.progress.LOGGED_S", 0.01)
    caplog.set_level(logging.INFO, "tracesieve.run")
    with Progress() as progress:
        progress.stage(lambda: "counting: 7 rows")
        while not any(line.startswith("counting: 7 rows, ") for line in caplog.messages):
            threading.Event().wait(0.01)
    assert "" not in caplog.messages


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [(5, None, "5 rows"), (5, 10, "5 of about 10 rows"), (11, 10, "11 rows"), (0, 0, "0 of about 0 rows")],
)
def test_a_total_is_said_where_it_is_known_and_not_passed(done: int, total: int | None, text: str) -> None:
    assert of_about(done, total, "rows") == text

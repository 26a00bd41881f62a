"""The demo as a person starts it: what it finds, how soon, and that nothing of it is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.command_line import MAIN
from support.doc_blocks import ROOT, blocks
from support.doc_run import lacking_lines

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
# Alone on two cores the first alert comes well within a minute; on a machine that does other work too it
# takes longer.
FIRST_ALERT_S = 200


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", MAIN, "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)


def processes_of(folder: Path) -> list[str]:
    """Command lines and working folders of what still runs on behalf of the demo."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str(folder) in str((process / "cwd").readlink()):
                found.append(f"{process.name} {command[:200]}")
    return found


def test_headless_it_finds_the_incident_says_where_to_look_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, "--headless") as running:
        output, _ = running.communicate(timeout=400)
    assert running.returncode == 0, output
    alerted = re.search(r"first alert (\d+) s after the start; (\d+) traces tagged", output)
    assert alerted, output
    assert int(alerted[1]) <= FIRST_ALERT_S
    assert int(alerted[2]) > 0
    for part in (
        "FIRING error-rate-high (critical)",
        "evidence: tr-",
        "candidates     matched  tagged  in the set  records  left out",
        "traces with equal requests share a record",
        "/metrics",
        "tags.eval_candidate = 'error_case'",
    ):
        assert part in output, output
    assert re.search(r"(\d+) traces, \d+% errors, p50 [\d.]+ s, p95 [\d.]+ s, \d+ alerts", output)
    matched, *others = map(int, re.findall(r"^error_case +(\d+) +(\d+) +(\d+) +(\d+)", output, re.M)[0])
    assert matched >= max(others) and min(others) > 0
    assert "Traceback" not in output
    (shown,) = (one for one in blocks(ROOT / "README.md") if "make demo HEADLESS=1" in one.typed)
    assert [lacking_lines(screen, output) for _, screen in shown.exchanges()] == [[]]
    assert processes_of(tmp_path) == []
    assert list(tmp_path.glob("tracesieve-demo-*")) == []


@pytest.mark.parametrize("after_s", [0.0, 6.0], ids=["at once", "while the servers start"])
def test_ctrl_c_at_any_moment_ends_it_without_a_traceback_or_a_process_left(
    tmp_path: Path, after_s: float
) -> None:
    with demo(tmp_path) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(
            "Starting"
        )  # before that it is the interpreter that starts
        time.sleep(after_s)
        running.send_signal(signal.SIGINT)
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)  # an impatient person
        output, _ = running.communicate(timeout=90)
    assert running.returncode in (0, 130), output
    assert "Traceback" not in output, output
    assert processes_of(tmp_path) == []
    assert list(tmp_path.glob("tracesieve-demo-*")) == []

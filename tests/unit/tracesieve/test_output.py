"""Output whose reader is gone, or that has no room: commands as processes of their own, before a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import MAIN

from store import open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    open_store(str(tmp_path / ".tracesieve"))
    (tmp_path / "bad.yaml").write_text("version: 1\nrules:\n" + "  - {id: a, when: x = 1}\n" * 50)
    (tmp_path / "tracesieve.yaml").write_text("source: {kind: delta_traces, table: t}\nmetrics: null\n")
    return tmp_path


def shell(folder: Path, arguments: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """A line of bash in which ``$T`` is tracesieve; its exit code is that of the first that fails."""
    text = f"set -o pipefail; T=\"{sys.executable} -c '{MAIN}'\"; eval $T {arguments}"
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": unbuffered},
    )


# `true` ends before Python has started: nobody ever reads the pipe.
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("report '|' true", 0),
        ("report --json '|' true", 0),
        ("--help '|' true", 0),
        ("alerts list '|' true", 0),
        ("rules lint bad.yaml '|' true", 1),  # the answer is still "no"
        ("report --last soon '2>&1' '|' true", 2),
    ],
)
def test_a_reader_that_is_gone_is_no_failure(
    folder: Path, arguments: str, code: int, unbuffered: str
) -> None:
    done = shell(folder, arguments, unbuffered)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr and "Broken" not in done.stderr


def test_a_full_disk_is_one_message(folder: Path) -> None:
    done = shell(folder, "report '>' /dev/full")
    assert (done.returncode, done.stderr) == (
        3,
        "standard output cannot be written: No space left on device\n",
    )


def test_without_an_output_the_exit_code_is_the_answer(folder: Path) -> None:
    assert shell(folder, "report '>&-'").returncode == 0
    assert shell(folder, "report --last soon '2>' /dev/full").returncode == 2
    assert shell(folder, "report --last soon '2>&-'").returncode == 2

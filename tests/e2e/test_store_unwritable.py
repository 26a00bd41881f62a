"""A store that cannot be written while a batch is under way: exit 3 and one message, and the next run goes on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SPARK, answer, tracesieve, write_table

pytestmark = pytest.mark.slow


def test_sem_08_a_store_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    write_table(tmp_path / "traces", 30)
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: traces}\nstore: st\n" + SPARK)
    (tmp_path / "st").mkdir()
    fault = tmp_path / "st" / "facts"
    fault.write_text("in the way")  # what a full disk does to the first write, wherever it is full
    failed = tracesieve("run", "--once", "-c", str(config))
    assert failed.returncode == 3, failed.stderr
    assert f"{fault} cannot be written" in failed.stderr.strip().splitlines()[-1]
    assert "Traceback" not in failed.stderr
    fault.unlink()
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert answer("report", "-c", str(config))["traces"] == 30

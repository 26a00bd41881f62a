"""A Spark that does not start ends with one message and exit 3."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import tracesieve, write_table

pytestmark = pytest.mark.spark


@pytest.mark.parametrize("spark", ["{master: nonsense}", "{memory: 1k}"], ids=["master", "memory"])
def test_what_spark_does_not_start_with(tmp_path: Path, spark: str) -> None:
    write_table(tmp_path / "traces", 2)
    file = tmp_path / "tracesieve.yaml"
    file.write_text(f"source: {{kind: delta_traces, table: traces}}\nmetrics: null\nspark: {spark}\n")
    done = tracesieve("run", "--once", "-c", str(file))
    assert done.returncode == 3, done.stderr
    assert "Spark could not be started" in done.stderr
    assert "bug" not in done.stderr

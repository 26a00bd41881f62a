"""A run whose Spark workers are processes of their own, as on a cluster: they find our code, and end quietly
when it is over.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import answer, tracesieve, write_table


@pytest.mark.slow
def test_a_run_once_on_a_cluster_of_two_executors_counts_matches_and_ends_quietly(tmp_path: Path) -> None:
    write_table(tmp_path / "traces", 120)
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nmetrics: null\n"
        "spark: {master: 'local-cluster[2,1,700]', memory: 1g, conf: {spark.executor.memory: 700m}}\n"
    )
    done = tracesieve("run", "--once", "-c", str(config))
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert " tracesieve." in line, f"a line that is not ours: {line}"
    report = answer("report", "-c", str(config))
    assert (report["traces"], report["errors"], report["candidates"]) == (120, 30, {"error_case": 30})

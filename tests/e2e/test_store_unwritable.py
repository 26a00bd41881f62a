"""A store that cannot be written while a batch is under way: exit 3 and one message, and the next run goes on
from there.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import MAIN, SPARK, answer, tracesieve, write_table


@pytest.mark.slow
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


@pytest.mark.long
def test_sem_08_a_full_disk_ends_a_run_in_a_line_and_the_next_one_counts_everything(tmp_path: Path) -> None:
    """The disk is a small one in a mount namespace of its own, which is made larger between the two runs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=120k tracesieve {shlex.quote(str(disk))}"
    if subprocess.run([*own, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no one mount a disk in a namespace of his own")
    write_table(tmp_path / "traces", 3000)
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: traces}\nstore: disk/st\n" + SPARK)
    run = shlex.join([sys.executable, "-c", MAIN, "run", "--once", "--json", "-c", str(config)])
    script = f"{mount} && {run}; echo $? >&2; mount -o remount,size=64m {shlex.quote(str(disk))} && {run}"
    done = subprocess.run(
        [*own, "sh", "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    first, *second = done.stderr.split("\n3\n")  # the first run's exit code
    assert len(second) == 1, done.stderr
    place = f"{disk / 'st'}"
    assert [line for line in first.splitlines() if place in line and "No space left" in line], first
    assert "Traceback" not in first
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["traces"] == 3000

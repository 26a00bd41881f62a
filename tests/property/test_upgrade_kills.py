"""The upgrade of a store is cut short at every write, and at random moments: the next start finishes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.store_v2 import Killed, contents, killed_at, restored

from store import open_store
from store.upgrades.upgrade import STORE_VERSION, read_version, version_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_an_upgrade_that_is_cut_at_any_write_is_finished_by_the_next_one(tmp_path: Path) -> None:
    whole = open_store(str(restored(tmp_path / "whole")))
    expected, number = contents(whole), 0
    while True:
        path = restored(tmp_path / str(number))
        try:
            with killed_at(number) as done:
                open_store(str(path))
            break
        except Killed:
            pass
        assert version_of(str(path)) == 2
        if done:
            assert read_version(str(path)).number == STORE_VERSION  # type: ignore[union-attr]
        found = contents(open_store(str(path)))
        assert found == expected, f"cut at write {number}: after {done}"
        number += 1
    assert number > 30
    assert done.count("create_write_transaction") == 8


@pytest.mark.slow
def test_an_upgrade_that_is_killed_at_random_moments_is_finished_by_the_next_one(tmp_path: Path) -> None:
    expected = contents(open_store(str(restored(tmp_path / "whole"))))
    code = "import sys; from store import open_store; print(flush=True); open_store(sys.argv[1])"
    dice, cut = random.Random(3), 0
    for number in range(8):
        path = restored(tmp_path / str(number))
        command = [sys.executable, "-c", code, str(path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        cut += version_of(str(path)) == 2
        assert contents(open_store(str(path))) == expected
    assert cut > 2, "hardly any upgrade was cut short"

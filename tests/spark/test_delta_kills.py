"""``kill -9`` of a live query, its JVM and its followers, while the table is appended to: as if nothing had
happened.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.delta_cases import follow, messages, opened, result, run, trace, verdicts, write

pytestmark = [pytest.mark.spark, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]
# Spark's start takes most of the time; tests/property/test_batch_kills.py has twenty kills of the writing
# process without it.
KILLS = int(os.environ.get("TRACESIEVE_KILLS", "3"))


def append_slowly(source: Path, random_: random.Random, done: threading.Event) -> None:
    """A file now and then: new traces, repeats of old ones, amendments."""
    for part in range(1, 200):
        if done.wait(random_.uniform(0.1, 0.8)):
            return
        rows = [trace(part * 3 + i) for i in range(3)] + [trace(random_.randrange(part * 3))]
        write(source, [*rows, trace(part, execution_duration_ms=5_000.0 + part)])


def commits(store: Path) -> int:
    return len(list((store / "batches" / "_delta_log").glob("*.json")))


def start_query(store: Path, source: Path) -> subprocess.Popen[bytes]:
    script = ROOT / "tests" / "support" / "killed_query.py"
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(script), str(store), str(source)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.DEVNULL,
    )


def kill_after_some_commits(store: Path, source: Path, random_: random.Random) -> None:
    wanted = commits(store) + random_.randint(1, 6)
    child, until = start_query(store, source), time.monotonic() + 150
    while commits(store) < wanted:
        assert child.poll() is None, "the query ended by itself"
        assert time.monotonic() < until, "no batch within 150 s"
        time.sleep(0.01)
    time.sleep(random_.uniform(0.0, 1.0))
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_sem_28_killed_at_random_moments_while_the_table_grows(spark: Any, tmp_path: Path) -> None:
    random_ = random.Random(28)
    source, store_path = tmp_path / "source", tmp_path / "store"
    write(source, [trace(n) for n in range(3)])
    done = threading.Event()
    writer = threading.Thread(target=append_slowly, args=(source, random.Random(1), done))
    writer.start()
    try:
        for _ in range(KILLS):
            kill_after_some_commits(store_path, source, random_)
    finally:
        done.set()
        writer.join()
    killed = run(spark, store_path, source)
    whole = run(spark, tmp_path / "whole", source)
    assert result(killed) == result(whole)
    assert len(result(whole)[0]) > 3
    for path, store in ((store_path, killed), (tmp_path / "whole", whole)):
        follow(store, opened(path, source)[1].stream_id)
    assert verdicts(killed) == verdicts(whole)
    assert messages(killed) == messages(whole)

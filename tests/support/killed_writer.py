"""The child of test_batch_kills: batches and followers over narrow rows, as a run makes them, until it is
killed.

Spark's part is played by the parent's files: ``rows/N.arrow`` holds the narrow rows of batch N, and a batch
is repeated until ``commits/N`` is there, as Spark repeats one whose commit it did not write.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from support.delta_cases import NOW_US, follower, rule_set

from store import open_store
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.process import BatchWorker, process_batch

STREAM = "killed"


def batches(folder: Path) -> list[Any]:
    """The narrow rows of every batch, in order."""
    found = sorted((folder / "rows").glob("*.arrow"), key=lambda path: int(path.stem))
    return [pa.ipc.open_file(path).read_all() for path in found]


def work(folder: Path, followed: bool) -> None:
    """Go on after the last committed batch, to the end."""
    store = open_store(str(folder / "store"))
    RuleSets(store).put(rule_set(), (), 1)
    config = BatchConfig(str(folder / "store"), STREAM, str(folder / "checkpoint"))
    worker = BatchWorker(config, lambda: NOW_US, lambda frame: frame)
    (folder / "commits").mkdir(exist_ok=True)
    step = follower(store, STREAM)
    print("ready", flush=True)
    for number, rows in enumerate(batches(folder)):
        if (folder / "commits" / str(number)).exists():
            continue
        process_batch(rows, number, worker)
        if followed and number % 3 == 0:
            step()
        (folder / "commits" / str(number)).touch()
        if followed:
            print(number, flush=True)


if __name__ == "__main__":
    work(Path(sys.argv[1]), followed=True)

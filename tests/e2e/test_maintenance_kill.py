"""Maintenance killed at random moments beside a run that appends and is killed as well: nothing is lost,
nothing counted twice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rules.alerting.sums import SUM_NAMES
from rules.units import DAY_US
from store import Store, open_store
from store.windows import partials

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_790_000_000_000_000 // DAY_US * DAY_US
BATCHES, KILLS = 90, 10


def facts_of(batch: int) -> list[dict[str, Any]]:
    dice = random.Random(batch)
    ends = [NOW - dice.randrange(40 * DAY_US) for _ in range(6)]
    return [
        {
            "stream_id": "s",
            "batch_id": batch,
            "weight": 1,
            "trace_id": f"t{batch}-{n}",
            "group_by": ["experiment"],
            "hits": [],
            "group": [dice.choice("ab")],
            "start_us": end - 5,
            "end_us": end,
            "error": dice.random() < 0.5,
            "state": "OK",
            "duration_us": dice.randrange(10**7),
            "content_hash": 1,
            "tokens_total": dice.randrange(9),
            "arrived_us": end,
        }
        for n, end in enumerate(ends)
    ]


def windows_of(store: Store, batch: int) -> pl.DataFrame:
    frame = pl.DataFrame(store.table("facts")._arrow(facts_of(batch)))
    return partials(frame).with_columns(
        pl.lit("s").alias("stream_id"), pl.lit(batch, dtype=pl.Int64).alias("batch_id")
    )


def append_all(path: str) -> None:
    """What a run does: each batch goes on where it stopped."""
    store = open_store(path)
    done = store.table("batches").app_version("batches:s")
    for batch in range(0 if done is None else done + 1, BATCHES):
        store.table("facts").append(
            facts_of(batch), app_id="facts:s", version=batch, metadata={"counted": "6"}
        )
        store.table("windows").append(windows_of(store, batch), app_id="windows:s", version=batch)
        end = {"stream_id": "s", "batch_id": batch, "phase": "end", "now_us": NOW}
        store.table("batches").append([end], app_id="batches:s", version=batch)


def maintain_for_ever(path: str) -> None:
    """Maintenance, made to find work at once: the days go by quickly and ten files are many."""
    from store.maintenance import compact
    from store.maintenance.needs import MaintenanceNeeds
    from store.maintenance.schedule import Maintenance

    compact.SMALL_FILES = 10
    day, store = 0, open_store(path)
    while True:
        Maintenance(store, MaintenanceNeeds()).all(NOW + day % 30 * DAY_US)
        day += 1


def child(path: Path, work: str) -> subprocess.Popen[bytes]:
    code = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import test_maintenance_kill
test_maintenance_kill.{work}({str(path)!r})
"""
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def sums(windows: pl.DataFrame) -> list[Any]:
    hours = windows.with_columns(pl.col("start_us") // 3_600_000_000)
    totals = (
        hours.group_by("start_us", "group")
        .agg(pl.col(name).sum() for name in SUM_NAMES)
        .sort("start_us", "group")
    )
    exploded = hours.select("start_us", "group", i="bucket_index", n="bucket_count").filter(
        pl.col("i").list.len() > 0
    )
    buckets = exploded.explode("i", "n").group_by("start_us", "group", "i").agg(pl.col("n").sum())
    return [totals.rows(), buckets.sort("start_us", "group", "i").rows()]


@pytest.mark.slow
def test_sem_10_19_killed_at_random_moments_every_sum_is_as_without_maintenance(tmp_path: Path) -> None:
    dice, kills = random.Random(7), 0
    path = tmp_path / "store"
    open_store(str(path))
    appender, maintainer = child(path, "append_all"), child(path, "maintain_for_ever")
    try:
        deadline = time.monotonic() + 150
        while kills < KILLS or appender.poll() != 0:
            assert time.monotonic() < deadline, "not done within 150 s"
            time.sleep(dice.uniform(1.0, 3.0))  # a child needs about a second to begin its work
            which = dice.choice("at")
            if which == "a" and appender.poll() is None and kills < KILLS:
                os.killpg(appender.pid, signal.SIGKILL)
                appender.wait()
                appender = child(path, "append_all")
                kills += 1
            elif which == "t" and kills < KILLS:
                assert maintainer.poll() is None, "maintenance ended by itself"
                os.killpg(maintainer.pid, signal.SIGKILL)
                maintainer.wait()
                maintainer = child(path, "maintain_for_ever")
                kills += 1
    finally:
        for one in (appender, maintainer):
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
    store = open_store(str(path))
    assert sorted(store.table("facts").read()["trace_id"]) == sorted(
        row["trace_id"] for batch in range(BATCHES) for row in facts_of(batch)
    )
    whole = pl.concat([windows_of(store, batch) for batch in range(BATCHES)])
    assert sums(store.table("windows").read()) == sums(whole)
    assert store.table("windows").read()["size_us"].max() == 3_600_000_000
    operations = [
        entry.get("maintenance") or entry["operation"] for entry in store.table("windows").fresh().history()
    ]
    assert {"coarsen", "OPTIMIZE"} <= set(operations), operations

"""``kill -9`` of the process that writes the store, twenty times at random moments: as if nothing had
happened.
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
import pyarrow as pa
import pytest
from support import killed_writer
from support.delta_cases import NOW_US, follow, messages, result, rule_set, verdicts

from store import Store, open_store
from streams.batch.match import NARROW

KILLS = 20
BATCHES = 50
ROOT = Path(__file__).resolve().parents[2]
MINUTE = 60_000_000


def narrow(random_: random.Random, number: int, **changes: Any) -> dict[str, Any]:
    rule = {rule.id: rule.hash for rule in [*rule_set().trace_rules, *rule_set().alert_rules]}
    took = random_.choice([50.0, 400.0, 1500.0, None])
    hits = [
        name for name, holds in (("tool-errors", number % 5 == 0), ("slow-rate", (took or 0) > 1000)) if holds
    ]
    return {
        "trace_id": f"tr-{number}",
        "experiment_id": "1",
        "experiment": "support",
        "group": ["support", "agent", "production"],
        "start_us": NOW_US - 86_000_000_000 + number * MINUTE // 6,
        "duration_ms": took,
        "state": "ERROR" if number % 4 == 0 else "OK",
        "content_hash": number,
        "change_us": number,
        "tokens_total": number,
        "hits": [{"rule": name, "hash": rule[name]} for name in hits],
        **changes,
    }


def write_rows(folder: Path, seed: int) -> None:
    """Batches of new traces, repeats, amendments, evaluation traces, waiting ones and broken ones."""
    random_ = random.Random(seed)
    made: list[dict[str, Any]] = []
    (folder / "rows").mkdir()
    for batch in range(BATCHES):
        rows = [narrow(random_, len(made) + i) for i in range(random_.randint(0, 6))]
        made += rows
        rows += random_.sample(made, min(len(made), 2))
        for old in random_.sample(made, min(len(made), 2)):
            change = old["change_us"] + 1_000_000
            old.update(narrow(random_, int(old["trace_id"][3:]), change_us=change, content_hash=change))
            old["source_run"] = random_.choice([None, None, "run"])
            rows.append(dict(old))
        rows += [
            narrow(random_, 9_000 + batch, state="IN_PROGRESS"),
            narrow(random_, 9_500 + batch, trace_id=None),
        ][: batch % 3]
        random_.shuffle(rows)
        table = pa.Table.from_pylist(rows, schema=NARROW)
        with pa.ipc.new_file(folder / "rows" / f"{batch}.arrow", NARROW) as out:
            out.write_table(table)


def outcome_of(store: Store) -> tuple[Any, ...]:
    names = ("rows", "counted", "duplicates", "amended", "expired", "left_out", "in_progress", "quarantined")
    ended = store.table("batches").read(where=pl.col("phase") == "end")
    counters = {name: int(ended[name].sum()) for name in names}
    asides = [
        sorted(store.table(name).read()["batch_id"].to_list()) for name in ("quarantine", "in_progress")
    ]
    return (*result(store), ended.height, counters, asides, verdicts(store))


@pytest.mark.slow
def test_sem_08_19_28_twenty_kills_of_the_writing_process_change_nothing(tmp_path: Path) -> None:
    random_ = random.Random(20)
    once, killed = tmp_path / "once", tmp_path / "killed"
    for folder in (once, killed):
        folder.mkdir()
        write_rows(folder, seed=4)
    killed_writer.work(once, followed=False)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(ROOT / "tests" / "support" / "killed_writer.py"), str(killed)]
    before, batch_s = [], 0.2
    for _ in range(KILLS):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=environment)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        begun, whole = time.monotonic(), random_.randint(0, 2)
        for _ in range(whole):
            child.stdout.readline()
        if whole:
            batch_s = (time.monotonic() - begun) / whole
        time.sleep(random_.uniform(0.0, batch_s))  # somewhere inside a batch, however slow the machine is
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        before.append(len(list((killed / "commits").glob("*"))))
    assert before[-1] < BATCHES, "it was done before the last kill"
    assert len(set(before)) > KILLS // 3, f"too few kills between batches: {before}"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, timeout=120)
    stores = [open_store(str(folder / "store")) for folder in (once, killed)]
    for store in stores:
        follow(store, killed_writer.STREAM)
    assert outcome_of(stores[1]) == outcome_of(stores[0])
    assert messages(stores[1]) == messages(stores[0])
    assert messages(stores[0])
    assert verdicts(stores[0])

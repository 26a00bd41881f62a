"""Makes the fixture ``tests/fixtures/store_v2``: a store of version 2 with all that an upgrade must keep.

Run it with the program that wrote version 2, in a checkout of that commit (see the fixture's README):

    PYTHONPATH=OLD:OLD/tests python tests/support/make_store_v2.py OUT_FOLDER

That program monitors a real MLflow server over four days of made-up time.  What it then says of its store,
before and after it goes on, is kept beside the store as JSON.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

MINUTE, DAY = 60_000_000, 86_400_000_000
START_US = 1_795_000_000_000_000 // MINUTE * MINUTE  # a whole minute in November 2026
EARLIER_US = START_US - 4 * DAY
RULES = """
version: 1
rules:
  - {id: failed, when: "status = 'ERROR'", tag: error_case, severity: critical, points_to: an endpoint}
  - {id: slow, when: "execution_time_ms > LIMIT", tag: slow_response}
  - id: error-rate
    window: {size: 2m, by: [experiment, trace_name]}
    fire: error_rate > 0.5
    severity: critical
    evidence: {tag: error_case, most: 3}
  - id: slow-p95
    where: "tags.environment = 'prod'"
    window: {size: 3m, by: [experiment]}
    fire: p95_ms > 8000
    evidence: {tag: slow_response, most: 2}
"""
CONFIG = """
source: {kind: mlflow, tracking_uri: 'URI', experiments: [support], start: earliest, settle: 0s}
store: store
rules: [rules.yaml]
mlflow: {tracking_uri: 'URI'}
metrics: null
alerts: {alertmanager: ['http://127.0.0.1:9']}
spark: {master: 'local[2]', memory: 1g}
"""


class Clock:
    """The run's clock: ``at_us`` at its first question, and moving on from there."""

    def __init__(self, at_us: int) -> None:
        self._at_us = at_us
        self._began: int | None = None

    def __call__(self) -> int:
        began = self._began = self._began or time.monotonic_ns()
        return self._at_us + (time.monotonic_ns() - began) // 1_000_000_000 * 1_000_000


def run(folder: Path, at_us: int, between: Callable[[], object] = lambda: None, cut: bool = False) -> None:
    """One ``run --once`` at a made-up time; ``cut`` ends it as a kill does, between facts and windows."""
    import tracesieve.once as once
    import tracesieve.runner as runner
    from tracesieve.settings import load_settings

    import streams.batch
    from sinks.delivery import drain

    clock = Clock(at_us)
    once.wall_us = runner.wall_us = clock
    if cut:
        streams.batch._write_windows = lambda *_: os._exit(9)
    with ExitStack() as stack:
        settings = load_settings(str(folder / "tracesieve.yaml"))
        parts = runner.open_run(settings, stack, dry_run=False, rebuild=False, now_us=at_us)
        clock()
        once._count(parts, at_us)
        parts.follow(at_us, at_us)
        between()
        drain(parts.deliveries, parts.outbox, clock, 4.0)
        parts.upkeep.all(at_us)


def undo(folder: Path, at_us: int) -> None:
    """``undo`` at a made-up time."""
    from tracesieve.runner import told
    from tracesieve.settings import load_settings

    from sinks.registry import deliveries
    from sinks.undo import SINKS
    from sinks.undo import undo as take_back
    from store import open_store
    from store.outbox import Outbox

    settings = load_settings(str(folder / "tracesieve.yaml"))
    store = open_store(settings.store_path, create=False)
    take_back(store, deliveries(told(settings, store), Outbox(store), only=SINKS), Clock(at_us), 30.0)


def document_of(folder: Path, at_us: int) -> dict[str, Any]:
    """What the program says of its store, in the words of version 3."""
    from store.report import report
    from tracesieve.followers.verdict_log import net_verdicts

    from store import net_facts, open_store
    from store.outbox import Outbox
    from store.windows import merge
    from tracesieve.commands.alerts import listed

    store = open_store(str(folder / "store"))
    facts = net_facts(store.table("facts").read()).sort("trace_id")
    windows = merge(store.table("windows").read()).sort("start_us", "size_us", "rule_hash", "group")
    verdicts = sorted(
        net_verdicts(store.table("verdicts").read()), key=lambda row: (row["instant_us"], row["rule"])
    )
    drop = ("stream_id", "batch_id", "weight", "written_us", "arrived_us", "late")
    rows = {"facts": facts.to_dicts(), "windows": windows.to_dicts(), "verdicts": verdicts}
    found = {
        name: [{key: value for key, value in row.items() if key not in drop} for row in some]
        for name, some in rows.items()
    }
    for row in (*found["facts"], *found["windows"]):
        row["group_by"] = row["group_by"].split(",")
    for row in found["verdicts"]:
        row["by"] = row["by"].split(",")
    names = ("key", "sink", "target", "outcome")
    messages = store.table("outbox").read(["seq", "key", "sink", "target", "payload"]).sort("seq")
    outcomes = store.table("deliveries").read(["key", "outcome"]).unique().sort("key", "outcome")
    keys = ["dataset", "record", "trace_id"]
    records = store.table("records").read([*keys, "weight"]).group_by(keys).sum()
    return {
        **found,
        "report": report(store, EARLIER_US - DAY, at_us + DAY, [], at_us + DAY),
        "alerts": listed(store),
        "waiting": [{name: row[name] for name in names} for row in Outbox(store).rows()],
        "messages": [{**row, "payload": json.loads(row["payload"])} for row in messages.to_dicts()],
        "outcomes": [list(row) for row in outcomes.iter_rows()],
        "records": sorted(list(row[:3]) for row in records.filter(records["weight"] > 0).iter_rows()),
    }


def fill(server: Any, experiment: str, trace_ids: dict[str, Any]) -> None:
    """All traces that are there before the second run."""
    from mlflow import MlflowClient
    from mlflow_traces import copy_traces, log_trace

    def log(end_us: int, **how: Any) -> str:
        return log_trace(server, experiment, end_us, **how)

    chat = (("CHAT_MODEL", False, "hello"), ("TOOL", False, "found"))
    fine = log(START_US + 10 * MINUTE, spans=chat, tokens=(300, 40))
    failed = log(START_US + 14 * MINUTE, error=True, inputs={"q": "where is my order?"}, outputs=None)
    slow = log(START_US + 28 * MINUTE, ms=9_500, inputs={"q": "compare everything"})
    trace_ids["fine"] = copy_traces(server, fine, [START_US + 11 * MINUTE + i * 20_000_000 for i in range(9)])
    copy_traces(server, failed, [START_US + 14 * MINUTE + 1_000_000 * i for i in range(1, 6)])
    copy_traces(server, fine, [START_US + 17 * MINUTE + i * 30_000_000 for i in range(12)])
    copy_traces(server, slow, [START_US + 28 * MINUTE + i * 20_000_000 for i in range(1, 7)])
    trace_ids["doomed"] = log(START_US + 24 * MINUTE, error=True, inputs={"q": "deleted before it is tagged"})
    trace_ids["golden"] = trace_ids["fine"][3]
    MlflowClient(server.uri).set_trace_tag(trace_ids["golden"], "eval_candidate", "golden")


def stage(name: str, folder: Path, uri: str) -> None:
    """One process's part of the story."""
    if name == "first":
        run(folder, EARLIER_US + 5 * MINUTE)
        undo(folder, EARLIER_US + 6 * MINUTE)
    elif name == "outage":
        run(folder, START_US + 16 * MINUTE)
    elif name == "second":
        import mlflow
        from mlflow import MlflowClient

        ids = json.loads((folder / "ids.json").read_text())
        client = MlflowClient(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.log_feedback(trace_id=ids["fine"][0], name="correct", value=False)  # an amendment
        run(
            folder,
            START_US + 31 * MINUTE,
            lambda: client.delete_traces(ids["experiment"], trace_ids=[ids["doomed"]]),
        )
    elif name == "cut":
        run(folder, START_US + 35 * MINUTE, cut=True)
    elif name == "before":
        keep(folder, name, 36)
    elif name == "after":
        run(folder, START_US + 40 * MINUTE)
        keep(folder, name, 40)
    else:
        undo(folder, START_US + 41 * MINUTE)
        keep(folder, name, 41)


def keep(folder: Path, name: str, minutes: int) -> None:
    """Write down what the program says of its store so many minutes after the start."""
    document = document_of(folder, START_US + minutes * MINUTE)
    (folder / f"{name}.json").write_text(json.dumps(document, sort_keys=True))


def play(name: str, folder: Path, uri: str, code: int = 0) -> None:
    """One stage in a process of its own; the server keeps nothing of the machine that this runs on."""
    with sqlite3.connect(folder / "mlflow.db", timeout=60) as base:
        base.execute(
            "DELETE FROM trace_request_metadata WHERE key LIKE 'mlflow.source.%' OR key = 'mlflow.user'"
        )
    done = subprocess.run([sys.executable, __file__, name, str(folder), uri], check=False)
    assert done.returncode == code, (name, done.returncode)


def make(out: Path, folder: Path) -> None:
    """The whole story, and its end written to ``out``."""
    from mlflow import MlflowClient
    from mlflow_contents import on_server
    from mlflow_traces import copy_traces, log_trace
    from servers import mlflow_server

    ids: dict[str, Any] = {}
    with mlflow_server(folder) as server:
        (folder / "tracesieve.yaml").write_text(CONFIG.replace("URI", server.uri))
        ids["experiment"] = experiment = MlflowClient(server.uri).create_experiment("support")
        (folder / "rules.yaml").write_text(RULES.replace("LIMIT", "5000"))
        first = log_trace(server, experiment, EARLIER_US, error=True, inputs={"q": "undone"})
        copy_traces(server, first, [EARLIER_US + i * 1_000_000 for i in range(1, 4)])
        log_trace(server, experiment, EARLIER_US + MINUTE, ms=6_000, inputs={"q": "undone too"})
        play("first", folder, server.uri)
        fill(server, experiment, ids)
        (folder / "ids.json").write_text(json.dumps(ids))
        play("outage", folder, server.uri)
        play("second", folder, server.uri)
        (folder / "rules.yaml").write_text(RULES.replace("LIMIT", "3000"))
        later = log_trace(
            server, experiment, START_US + 32 * MINUTE, ms=4_000, inputs={"q": "slow by the new rules"}
        )
        copy_traces(server, later, [START_US + 32 * MINUTE + i * 1_000_000 for i in range(1, 5)])
        play("cut", folder, server.uri, code=9)
        (folder / "rules.yaml").write_text(RULES.replace("LIMIT", "2000"))
        last = log_trace(server, experiment, START_US + 37 * MINUTE, ms=2_500, inputs={"q": "not read yet"})
        copy_traces(server, last, [START_US + 37 * MINUTE + i * 1_000_000 for i in range(1, 4)])
        play("before", folder, server.uri)
    snapshot(out, folder)
    with mlflow_server(folder) as server:
        (folder / "tracesieve.yaml").write_text(CONFIG.replace("URI", server.uri))
        (out / "expected").mkdir(exist_ok=True)
        for name in ("after", "undone"):
            play(name, folder, server.uri)
            found = json.loads((folder / f"{name}.json").read_text())
            found["server"] = on_server(folder / "mlflow.db")
            (folder / f"{name}.json").write_text(json.dumps(found, sort_keys=True))
    answers(out, folder)


def snapshot(out: Path, folder: Path) -> None:
    """The store, the server's database and the rules, in one archive."""
    with sqlite3.connect(folder / "mlflow.db") as base:
        base.execute("VACUUM")
    (folder / "store" / "lease.json").unlink()
    with tarfile.open(out / "store_v2.tar.xz", "w:xz", preset=9) as archive:
        for name in ("store", "mlflow.db", "rules.yaml"):
            archive.add(folder / name, name, filter=_plain)


def answers(out: Path, folder: Path) -> None:
    """What the program answered, in one archive."""
    with tarfile.open(out / "answers.tar.xz", "w:xz", preset=9) as archive:
        for name in ("before.json", "after.json", "undone.json"):
            content = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    shutil.rmtree(out / "expected")


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return None if entry.name.endswith(".crc") else entry


if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # the helpers of the old checkout come before those beside this file
    if len(sys.argv) > 2:
        stage(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    else:
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        target = Path(sys.argv[1])
        target.mkdir(parents=True, exist_ok=True)
        work = Path(os.environ.get("WORK", "/tmp")) / f"store-v2-{os.getpid()}"
        work.mkdir()
        make(target, work)

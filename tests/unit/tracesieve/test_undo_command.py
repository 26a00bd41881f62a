"""``tracesieve undo``: what it will take back, from the store alone, and who is asked."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.command_line import MAIN
from support.made_facts import fact
from support.servers import free_port

from store import Store, open_store
from store.lease import Lease
from store.outbox import Ack, Outbox, OutboxMessage, PendingMessage
from tracesieve.cli import cli


def tags(trace_id: str, *rules: str) -> OutboxMessage:
    payload = {"trace_id": trace_id, "category": "error_case" if rules else None, "rules": list(rules)}
    return OutboxMessage("mlflow_tags", trace_id, payload)


def record(trace_id: str, name: str, number: int, weight: int = 1) -> dict[str, Any]:
    """A trace as a source of a record of the dataset ``d-NAME``."""
    key = {"dataset": name, "dataset_id": f"d-{name}", "record": f"r{number}"}
    return {**key, "weight": weight, "trace_id": trace_id, "end_us": 1, "rules": [], "reason": "", "at_us": 1}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three tagged traces of two experiments, one taken back since; messages that nobody delivered."""
    (tmp_path / "c.yaml").write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\n"
        f"mlflow: {{tracking_uri: 'http://127.0.0.1:{free_port()}'}}\n"
    )
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = open_store(str(tmp_path / "st"))
    outbox = Outbox(store)
    deliver(outbox, tags("a", "r"), tags("b", "r", "s"), tags("c", "r"))
    deliver(outbox, tags("c"))
    nobody = OutboxMessage("mlflow_datasets", "a", {"trace_id": "a", "categories": {"x": {}}})
    outbox.enqueue([tags("d", "r"), nobody], 1)
    store.table("facts").append([fact("a", 0, experiment="one"), fact("b", 0, experiment="two")])
    rows = [record("a", "x", 1), record("b", "x", 1), record("b", "y", 2), record("c", "y", 3)]
    store.table("records").append([*rows, record("c", "y", 3, -1)])
    return store


def deliver(outbox: Outbox, *messages: OutboxMessage) -> None:
    outbox.enqueue(messages, 1)
    waiting: list[PendingMessage] = outbox.pending("mlflow_tags")
    outbox.ack([Ack(one, "delivered") for one in waiting], 1)


def undo(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["undo", "-c", str(tmp_path / "c.yaml"), *arguments])


PLAN = {
    "tags": 6,
    "traces": 2,
    "assessments": 0,
    "issues": 0,
    "records": 2,
    "datasets": {"x": 1, "y": 1},
    "experiments": [
        {"experiment": "one", "traces": 1, "tags": 3, "records": 1, "assessments": 0, "issues": 0},
        {"experiment": "two", "traces": 1, "tags": 3, "records": 2, "assessments": 0, "issues": 0},
    ],
}


def test_a_dry_run_says_what_there_is_by_experiment_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    before = {name: table.version() for name, table in store.tables().items()}
    lease = Lease(store.path)
    lease.acquire()  # it can also be asked beside a run
    done = undo(tmp_path, "--dry-run", "--json")
    lease.release()
    assert json.loads(done.stdout) == {"dry_run": True, "plan": PLAN}, done.output
    lines = undo(tmp_path, "--dry-run").output.splitlines()
    assert lines[0] == "to be taken back: 6 tags on 2 traces, 2 records in 2 datasets"
    assert [line.split() for line in lines if line.startswith(("one", "two"))] == [
        ["one", "1", "3", "1"],
        ["two", "1", "3", "2"],
    ]
    assert all(len(line) <= 80 for line in lines)
    assert {name: table.version() for name, table in store.tables().items()} == before


def test_with_nothing_written_it_says_so(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.yaml").write_text("source: {kind: delta_traces, table: traces}\nstore: st\n")
    open_store(str(other / "st"))
    assert undo(other, "--dry-run").output == "nothing to take back\n"


@pytest.mark.parametrize(
    ("answer", "code", "says"), [("n", 1, "nothing was taken back"), ("y", 3, "still wait")]
)
def test_a_person_at_a_terminal_is_asked(
    store: Store, tmp_path: Path, answer: str, code: int, says: str
) -> None:
    ours, theirs = pty.openpty()
    program = f"import tracesieve.commands.undo as undo; undo._DRAIN_S = 1.0; {MAIN}"
    command = [sys.executable, "-c", program, "undo", "-c", str(tmp_path / "c.yaml"), "--json"]
    asked = subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = asked.communicate(timeout=60)
    shown = os.read(ours, 10_000).decode()
    assert "take back 6 tags on 2 traces, 2 records in 2 datasets? [y/N]" in shown
    assert (asked.returncode, says in shown) == (code, True), shown
    assert bool(out) == (answer == "y")  # the document, and no question, is on stdout


def test_yes_and_no_terminal_ask_nobody(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracesieve.commands.undo._DRAIN_S", 0.5)
    done = undo(tmp_path, "--yes")
    assert getattr(done.exception, "exit_code", None) == 3
    assert "deliveries still wait (" in str(done.exception)
    assert "[y/N]" not in done.output
    assert Outbox(store).count("mlflow_tags") == 3

"""``tracesieve outbox``: deliveries are listed, tried again and dropped by what they are about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from store import Store, open_store
from store.outbox import Ack, Outbox, OutboxMessage
from tracesieve.cli import cli

T0 = 1_767_225_600_000_000  # 2026-01-01
TRACE = "tr-4bf92f3577b34da6a3ce929d0e0e4736"
ALERT = {"rule": "error-rate-high", "status": "firing", "group": {"experiment": "support", "model": ""}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Tags that were refused, records that wait, an alert that is tried again, tags that were dropped."""
    (tmp_path / "c.yaml").write_text("source: {kind: delta_traces, table: traces}\nstore: st\n")
    store = open_store(str(tmp_path / "st"))
    outbox = Outbox(store)
    messages = [
        OutboxMessage("mlflow_tags", TRACE, {"trace_id": TRACE, "category": "a", "rules": ["r"]}),
        OutboxMessage("mlflow_datasets", TRACE, {"trace_id": TRACE, "categories": {}}),
        OutboxMessage("alertmanager", "error-rate-high:0011", ALERT),
        OutboxMessage("mlflow_tags", "tr-2", {"trace_id": "tr-2", "category": None, "rules": []}),
    ]
    outbox.enqueue(messages, T0)
    waiting = {
        (one.sink, one.target): one
        for sink in ("mlflow_tags", "alertmanager")
        for one in outbox.pending(sink)
    }
    refused = Ack(waiting["mlflow_tags", TRACE], "dead", detail="MLflow says NOT_FOUND " + "why " * 40)
    again = Ack(waiting["alertmanager", "error-rate-high:0011"], "retry", detail="connection refused")
    outbox.ack([refused, again, Ack(waiting["mlflow_tags", "tr-2"], "dropped")], T0 + 1_000_000)
    return store


def outbox(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["outbox", arguments[0], "-c", str(tmp_path / "c.yaml"), *arguments[1:]])


def states(tmp_path: Path) -> dict[str, str]:
    rows = json.loads(outbox(tmp_path, "list", "--json").stdout)["deliveries"]
    return {f"{row['sink']} {row['trace_id'] or row['rule']}": row["state"] for row in rows}


def test_each_is_listed_by_its_trace_or_rule_with_the_reason(store: Store, tmp_path: Path) -> None:
    lines = outbox(tmp_path, "list").output.splitlines()
    assert all(len(line) <= 80 for line in lines), lines
    assert lines[0] == "     0  refused  2026-01-01T00:00:00Z  mlflow_tags"
    assert lines[1].strip() == f"tags of {TRACE}"
    reason = " ".join(
        line.strip() for line in lines[2 : lines.index(next(x for x in lines if x.startswith("     1")))]
    )
    assert reason == ("MLflow says NOT_FOUND " + "why " * 40).strip()
    assert f"        records of {TRACE}" in lines
    assert '        alert error-rate-high firing experiment="support" model=""' in lines
    assert "        connection refused" in lines
    assert lines[-1] == "4 deliveries: 1 refused, 2 waiting, 1 dropped"
    assert "error-rate-high:0011" not in "\n".join(lines)


def test_json_has_rule_or_trace_beside_the_key(store: Store, tmp_path: Path) -> None:
    rows = json.loads(outbox(tmp_path, "list", "--json").stdout)["deliveries"]
    found = {row["number"]: row for row in rows}
    assert (found[0]["trace_id"], found[0]["rule"], found[0]["outcome"]) == (TRACE, None, "dead")
    assert found[0]["detail"].startswith("MLflow says NOT_FOUND")
    assert (found[2]["rule"], found[2]["group"]) == ("error-rate-high", ALERT["group"])
    assert (found[0]["created"], found[0]["created_us"]) == ("2026-01-01T00:00:00.000000Z", T0)
    assert (found[0]["tried"], found[1]["tried"]) == ("2026-01-01T00:00:01.000000Z", None)
    assert found[0]["key"].endswith("-0")


@pytest.mark.parametrize("which", ["0", TRACE])
def test_what_was_refused_is_tried_again_by_number_or_trace(store: Store, tmp_path: Path, which: str) -> None:
    done = outbox(tmp_path, "retry", which)
    assert (done.exit_code, done.output) == (0, "1 deliveries requeued\n"), done.exception
    assert states(tmp_path)[f"mlflow_tags {TRACE}"] == "waiting"


def test_a_rules_deliveries_are_dropped_and_what_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    done = outbox(tmp_path, "drop", "error-rate-high", "tr-9")
    assert done.output == "1 deliveries dropped\n"
    assert getattr(done.exception, "exit_code", None) == 1
    assert "no such delivery: tr-9 (see" in str(done.exception)
    assert states(tmp_path)["alertmanager error-rate-high"] == "dropped"


def test_without_a_name_all_that_were_refused_are_tried_again(store: Store, tmp_path: Path) -> None:
    assert outbox(tmp_path, "retry").output == "1 deliveries requeued\n"
    assert states(tmp_path)["mlflow_tags tr-2"] == "dropped"

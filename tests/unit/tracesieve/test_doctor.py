"""``tracesieve doctor``: what is wrong is shown with a hint, a server that is down is a failed check, nothing
is changed.
"""

import importlib.metadata
import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from support.servers import free_port

from store import open_store
from store.lease import Lease
from store.outbox import Ack, Outbox, OutboxMessage, messages_cursor
from store.schemas import TRACES
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.doctor import examine


def config(folder: Path, **changes: str) -> Path:
    parts = {"source": "{kind: delta_traces, table: traces}", "store": "st", "metrics": "null", **changes}
    file = folder / "c.yaml"
    file.write_text("\n".join(f"{key}: {value}" for key, value in parts.items()))
    row = {"trace_id": "t", "request_time": datetime(2026, 1, 1, tzinfo=UTC), "state": "OK"}
    if not (folder / "traces").exists():
        write_deltalake(str(folder / "traces"), pa.Table.from_pylist([row], schema=TRACES))
    return file


def doctor(file: Path, *arguments: str):
    return CliRunner().invoke(cli, ["doctor", "-c", str(file), *arguments])


def found(file: Path) -> dict:
    return {check.name: check for check in examine(load_settings(file), time.time_ns() // 1000)}


def test_a_sound_machine_and_no_store_yet_is_all_ok_and_nothing_is_made(tmp_path):
    file = config(tmp_path)
    done = doctor(file, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["status"] in ("ok", "warn")  # a machine without Delta's jars yet is warned
    checks = {check["name"]: check for check in document["checks"]}
    assert {"config", "python", "java", "jars", "packages", "rules", "disk", "source", "store"} <= set(checks)
    assert checks["source"]["found"].endswith("version 0, 1 files")
    assert not (tmp_path / "st").exists()


def test_the_store_its_tables_cursors_lease_and_outbox_are_told_and_fit_80_columns(tmp_path):
    store = open_store(str(tmp_path / "st"))
    facts = [
        {"stream_id": "s", "batch_id": 7, "weight": 1, "trace_id": f"t{n}", "end_us": 10**15 + n}
        for n in range(5)
    ]
    store.table("facts").append(facts, app_id="facts:s", version=7)
    end = {"stream_id": "s", "batch_id": 7, "phase": "end", "now_us": 10**15}
    store.table("batches").append([end], app_id="batches:s", version=7)
    outbox = Outbox(store)
    outbox.enqueue(
        [OutboxMessage("mlflow_tags", "t1", {"n": 1}), OutboxMessage("mlflow_tags", "t2", {"n": 1})],
        10**15,
        app_id=messages_cursor("s"),
        version=5,
    )
    outbox.ack([Ack(outbox.pending("mlflow_tags")[0], "dead", "gone")], 10**15)
    lease = Lease(str(tmp_path / "st"))
    lease.acquire()
    file = config(tmp_path)
    versions = {name: table.version() for name, table in store.tables().items()}
    checks = found(file)
    table = next(one for one in checks["store"].details["tables"] if one["table"] == "facts")
    assert (table["rows"], table["files"], table["kept_days"]) == (5, 1, 90)
    assert (table["oldest_us"], table["newest_us"]) == (10**15, 10**15 + 4)
    assert "pid" in checks["lease"].found
    assert checks["cursors"].details["messages_behind_batches"] == 2
    assert checks["outbox"].status == "warn"
    assert checks["outbox"].details == {
        "waiting": {"mlflow_tags": 1},
        "dead": 1,
        "oldest_waiting_us": 10**15,
        "oldest": "2001-09-09T01:46:40.000000Z",
    }
    lease.release()
    assert found(file)["lease"].found == "held by nobody: no run is going on"
    text = doctor(file).output
    assert "facts" in text
    assert "90d" in text
    assert max(map(len, text.splitlines())) <= 80
    assert {name: table.version() for name, table in store.tables().items()} == versions


def test_servers_that_are_down_or_silent_are_findings_within_seconds(tmp_path, monkeypatch):
    for name in ("TIMEOUT", "MAX_RETRIES"):  # as in a process of its own
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        port = free_port()  # asked for now: before, it could be the very one that the silent server got
        url, gone = f"http://127.0.0.1:{silent.getsockname()[1]}", f"http://127.0.0.1:{port}"
        file = config(
            tmp_path,
            source=f"{{kind: mlflow, tracking_uri: '{gone}', experiments: [a]}}",
            mlflow=f"{{tracking_uri: '{url}'}}",
            alerts=f"{{alertmanager: ['{gone}', '{url}']}}",
            metrics=f"{{listen: '{url[7:]}'}}",
        )
        done = doctor(file, "--json")
    assert done.exit_code == 1
    checks = [(check["name"], check["status"], check["found"]) for check in json.loads(done.stdout)["checks"]]
    assert ("source", "fail", f"{gone}: connection refused") in checks
    assert ("mlflow", "fail", f"{url}: timed out") in checks
    assert ("alertmanager", "fail", f"{gone}: connection refused") in checks
    assert ("alertmanager", "fail", f"{url}: timed out") in checks
    assert [status for name, status, _ in checks if name == "metrics"] == ["fail"]
    assert "Traceback" not in done.output


def test_a_bad_config_is_exit_2_and_says_where(tmp_path):
    file = config(tmp_path, retention="{factz: 3d}")
    done = doctor(file)
    assert done.exit_code != 0
    assert done.exception is not None
    assert getattr(done.exception, "exit_code", None) == 2
    assert "factz: there is no such table" in str(done.exception)


def test_a_table_without_a_column_a_bad_rule_and_a_newer_store_fail_with_their_mend(tmp_path):
    open_store(str(tmp_path / "st"))
    (tmp_path / "st" / "tracesieve-store.json").write_text('{"store_version": 99}')
    (tmp_path / "r.yaml").write_text("version: 1\nrules:\n  - {id: a, when: nonsense = 1, tag: x}\n")
    write_deltalake(str(tmp_path / "traces"), pa.table({"trace_id": ["t"]}))
    checks = found(config(tmp_path, rules="[r.yaml]"))
    assert [checks[name].status for name in ("source", "rules", "store")] == ["fail"] * 3
    assert "column request_time is missing" in checks["source"].found
    assert "r.yaml:3" in checks["rules"].found
    assert "99" in checks["store"].found
    assert checks["rules"].hint


def test_another_distribution_with_a_package_of_our_name_is_told(tmp_path, monkeypatch):
    owners = importlib.metadata.packages_distributions
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: {**owners(), "rules": ["rules", "tracesieve"]}
    )
    check = found(config(tmp_path))["packages"]
    assert check.status == "fail"
    assert "`rules` is also a package of rules" in check.found


def test_java_of_another_version_is_passed_over_and_named(tmp_path, monkeypatch):
    home = tmp_path / "old"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("")
    (home / "release").write_text('JAVA_VERSION="11.0.2"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    check = found(config(tmp_path))["java"]
    assert f"11.0.2 in {home}" in check.found


@pytest.mark.parametrize("kind", ["folder", "uri"])
def test_sem_25_doctor_names_who_holds_the_lease(tmp_path, kind):
    import os

    store = str(tmp_path / "st") if kind == "folder" else (tmp_path / "st").as_uri()
    open_store(store)
    lease = Lease(store)
    lease.acquire()
    try:
        assert found(config(tmp_path, store=store))["lease"].details["pid"] == os.getpid()
    finally:
        lease.release()

"""The store: appends that happen once, netting, the lease, the outbox."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from store import StoreError, StoreTaken, StoreVersionError, net_facts, open_store
from store.lease import Lease
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.schedule import Maintenance
from store.outbox import Ack, Outbox, OutboxMessage
from store.tail import Tail


def fact(**changes):
    return {
        "stream_id": "s",
        "batch_id": 0,
        "weight": 1,
        "trace_id": "t",
        "content_hash": 1,
        "group": ["a"],
        **changes,
    }


def test_an_append_of_one_application_version_happens_once(tmp_path):
    table = open_store(str(tmp_path / "s")).table("facts")
    assert table.append([fact()], app_id="facts:s", version=0)
    assert not table.append([fact()], app_id="facts:s", version=0)
    assert table.read().height == 1
    assert table.app_version("facts:s") == 0


def test_an_absent_table_reads_as_empty(tmp_path):
    table = open_store(str(tmp_path / "s")).table("facts")
    assert table.read(["trace_id"]).columns == ["trace_id"]
    assert table.version() == -1


def test_a_store_of_another_version_is_refused(tmp_path):
    open_store(str(tmp_path))
    (tmp_path / "tracesieve-store.json").write_text('{"store_version": 99}')
    with pytest.raises(StoreVersionError, match="99"):
        open_store(str(tmp_path))


def test_a_missing_store_is_named_when_it_may_not_be_made(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        open_store(str(tmp_path / "none"), create=False)


def test_sem_06_netting_survives_a_rebuilt_stream_that_counts_from_zero():
    rows = pl.DataFrame(
        {
            "stream_id": ["a", "b", "b"],
            "batch_id": [5, 0, 0],
            "weight": [1, -1, 1],
            "trace_id": ["t"] * 3,
            "content_hash": [1, 1, 2],
            "arrived_us": [1, 1, 2],
        }
    )
    assert net_facts(rows)["content_hash"].to_list() == [2]


def test_sem_25_the_lease_names_its_holder_and_ends_with_kill_9(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from store.lease import Lease\n"
        "Lease(sys.argv[1]).acquire(); l = Lease(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    code = code.replace("Lease(sys.argv[1]).acquire(); l =", "l = Lease(sys.argv[1]); l.acquire(); m =")
    root = str(Path(__file__).resolve().parents[3])
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), root], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "held"
    with pytest.raises(StoreTaken, match=str(holder.pid)):
        Lease(str(tmp_path)).acquire()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    lease = Lease(str(tmp_path))
    began = time.monotonic()
    lease.acquire()
    assert time.monotonic() - began < 5
    lease.release()


def test_sem_19_the_newest_wish_of_a_target_is_delivered_and_an_older_one_never(tmp_path):
    outbox = Outbox(open_store(str(tmp_path)))
    outbox.enqueue([OutboxMessage("tags", "t", {"n": 1})], 10)
    first = outbox.pending("tags")
    outbox.ack([Ack(first[0], "retry")], 20)
    outbox.enqueue([OutboxMessage("tags", "t", {"n": 2})], 30)
    waiting = outbox.pending("tags")
    assert [message.payload for message in waiting] == [{"n": 2}]
    outbox.ack([Ack(waiting[0], "delivered")], 40)
    assert outbox.pending("tags") == []
    assert outbox.count() == 0


def test_sem_21_a_wish_made_twice_is_in_once_and_a_return_to_an_old_one_is_new(tmp_path):
    outbox = Outbox(open_store(str(tmp_path)))
    assert outbox.enqueue([OutboxMessage("tags", "t", {"n": 1})], 1) == 1
    assert outbox.enqueue([OutboxMessage("tags", "t", {"n": 1})], 2) == 0
    assert outbox.enqueue([OutboxMessage("tags", "t", {"n": 2})], 3) == 1
    assert outbox.enqueue([OutboxMessage("tags", "t", {"n": 1})], 4) == 1


def test_a_dead_letter_waits_for_a_person(tmp_path):
    outbox = Outbox(open_store(str(tmp_path)))
    outbox.enqueue([OutboxMessage("tags", "t", {"n": 1})], 1)
    outbox.ack([Ack(outbox.pending("tags")[0], "dead", "gone")], 2)
    assert outbox.pending("tags") == []
    assert outbox.requeue([outbox.rows()[0]["key"]], "requeued", 3) == 1
    assert len(outbox.pending("tags")) == 1


def test_a_log_is_summed_up_by_upkeep_and_a_handle_that_slept_meanwhile_sees_what_came(tmp_path, monkeypatch):
    table, sleeper = (open_store(str(tmp_path)).table("rule_sets") for _ in range(2))
    table.append([{"rule_set_hash": "0"}])
    assert sleeper.version() == 0
    log = tmp_path / "rule_sets" / "_delta_log"
    maintenance = Maintenance(open_store(str(tmp_path)), MaintenanceNeeds())
    for first in (1, 61, 121):
        before = len(list(log.glob("*.json")))
        for number in range(first, first + 60):
            table.append([{"rule_set_hash": str(number)}])
        assert len(list(log.glob("*.json"))) == before + 60  # an append looks after nothing
        for file in log.iterdir():
            os.utime(file, (time.time() - 600,) * 2)
        maintenance.maintain("rule_sets", time.time_ns() // 1000)
        # What the sum before this one made needless is gone; what came since stays, and compaction's own
        # entry.
        assert 60 <= len(list(log.glob("*.json"))) <= 65
    table.append([{"rule_set_hash": "181"}])
    monkeypatch.setattr("store.table._LIST_EVERY_S", -1.0)  # it is time to list again
    assert sorted(map(int, sleeper.read()["rule_set_hash"])) == list(range(182))


def test_a_handle_sees_the_very_next_commit_without_listing_the_log(tmp_path):
    table, other = (open_store(str(tmp_path)).table("rule_sets") for _ in range(2))
    for number in range(5):
        table.append([{"rule_set_hash": str(number)}])
        assert other.version() == number
        assert other.read().height == number + 1


@pytest.mark.parametrize(
    "kept",
    [{"marks": {"a": 7}}, {"app_id": "a", "version": 7}, {"marks": {"a": 7}, "metadata": {"why": "x"}}],
)
def test_sem_19_an_append_of_no_rows_keeps_its_transactions(tmp_path, kept):
    table = open_store(str(tmp_path)).table("rule_sets")
    tail = Tail(table)
    assert table.append([], **kept)
    assert table.app_version("a") == 7
    assert open_store(str(tmp_path)).table("rule_sets").app_version("a") == 7
    assert [commit.transactions for commit in tail.poll()] == [{"a": 7}]
    assert table.read().is_empty()
    if "app_id" in kept:
        assert not table.append([{"rule_set_hash": "p"}], **kept)
    assert table.append([])  # with nothing to keep there is no commit
    assert table.version() == 0


@pytest.mark.parametrize("form", [list, pa.Table.from_pylist, pl.DataFrame])
def test_a_column_that_the_table_does_not_have_is_refused_and_not_dropped(tmp_path, form):
    table = open_store(str(tmp_path)).table("in_progress")
    rows = [{"stream_id": "s", "batch_id": 0, "trace_id": "a", "start_us": 1, "now_us": 2, "state": "OK"}]
    with pytest.raises(ValueError, match="no column state"):
        table.append(form(rows))
    assert table.version() == -1

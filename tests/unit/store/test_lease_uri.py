"""The lease of a store that is not a local folder: a row that is renewed and expires."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from store import StoreTaken, open_store
from store.lease import Lease, holder
from store.lease.row_lease import EXPIRES_S, RowLease

ROOT = str(Path(__file__).resolve().parents[3])


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000_000_000_000

    def __call__(self) -> int:
        return self.us


def test_sem_25_a_second_run_is_refused_with_the_host_and_pid_of_the_first(tmp_path):
    uri = tmp_path.as_uri() + "/st"
    first = Lease(uri)
    first.acquire()
    with pytest.raises(StoreTaken, match=f"pid {os.getpid()} on {socket.gethostname()}"):
        Lease(uri).acquire()
    assert holder(uri).pid == os.getpid()
    first.release()
    assert holder(uri) is None
    second = Lease(uri)
    second.acquire()
    second.release()


def test_sem_25_a_row_that_is_not_renewed_expires_and_its_run_is_told(tmp_path):
    uri, clock = tmp_path.as_uri(), Clock()
    first, second = RowLease(uri, clock), RowLease(uri, clock)
    first.acquire()
    clock.us += int((EXPIRES_S - 1) * 1e6)
    with pytest.raises(StoreTaken):
        second.acquire()
    first.renew()
    first.check()
    clock.us += int((EXPIRES_S - 1) * 1e6)
    first.check()
    clock.us += 2_000_000
    second.acquire()
    first.renew()
    with pytest.raises(StoreTaken, match="this run stops"):
        first.check()
    first.release()  # must not take it from the second
    assert second.holder() is not None
    second.release()


def test_sem_25_of_many_that_take_it_at_once_one_has_it(tmp_path):
    uri = tmp_path.as_uri()
    for _ in range(3):
        leases, taken = [RowLease(uri) for _ in range(6)], []
        barrier = threading.Barrier(6)

        def take(lease, taken=taken, barrier=barrier):
            barrier.wait()
            try:
                lease.acquire()
                taken.append(lease)
            except StoreTaken:
                pass

        threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1
        taken[0].release()


def test_sem_25_a_killed_run_on_a_uri_blocks_for_no_longer_than_the_row_lives(tmp_path):
    uri = tmp_path.as_uri()
    code = """
import sys, time
from store.lease import Lease
lease = Lease(sys.argv[1])
lease.acquire()
print("held", flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    child = subprocess.Popen(
        [sys.executable, "-c", code, uri], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "held"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with pytest.raises(StoreTaken, match=str(child.pid)):
        Lease(uri).acquire()
    later = RowLease(uri, lambda: time.time_ns() // 1000 + int(EXPIRES_S * 1e6))
    later.acquire()
    later.release()


def test_a_store_on_a_uri_opens_appends_and_reads(tmp_path):
    uri = tmp_path.as_uri() + "/st"
    store = open_store(uri)
    table = store.table("rule_sets")
    assert table.read().height == 0
    table.append(
        [{"rule_set_hash": "p", "loaded_us": 1, "group_by": [], "rule_set": "{}"}], app_id="a", version=3
    )
    assert not table.append([{"rule_set_hash": "p"}], app_id="a", version=3)
    assert open_store(uri, create=False).table("rule_sets").read()["rule_set_hash"].to_list() == ["p"]

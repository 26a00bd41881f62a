"""The lease of a store on an object store: a row in the Delta table ``lease``, renewed every 5 s, that
expires after 20 s.

Taking it is atomic by Delta's optimistic commit: the row is overwritten against the version that was read,
without retries, so of two runs one fails.  Each renewal looks at the row first: a run that finds another's
there, or could not renew until its own had expired, has lost the lease and must stop.  The machines' clocks
may differ by a few seconds.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from store.errors import StoreTaken, StoreUnwritable

RENEW_S, EXPIRES_S = 5.0, 20.0
JVM_WAIT_S = 10.0
_TIDY_EVERY = 720  # renewals: an hour
_SCHEMA = pa.schema(
    [
        pa.field("token", pa.string()),
        pa.field("host", pa.string()),
        pa.field("pid", pa.int64()),
        pa.field("jvm", pa.int64()),
        pa.field("renewed_us", pa.int64()),
        pa.field("until_us", pa.int64()),  # 0: given back
    ]
)
_PROPERTIES = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.checkpointInterval": "50",
}


@dataclass(frozen=True)
class Holder:
    """Who holds a lease; ``renewed_us`` is when it was renewed last."""

    host: str
    pid: int
    renewed_us: int


def _wall_us() -> int:
    return time.time_ns() // 1000


class RowLease:
    """The right to write a store that is not a local folder."""

    def __init__(self, store_path: str, clock: Callable[[], int] = _wall_us) -> None:
        self._store, self._uri, self._clock = store_path, f"{store_path.rstrip('/')}/lease", clock
        self._token = uuid.uuid4().hex
        self._jvm: int | None = None
        self._until_us = 0
        self._lost: str | None = None
        self._given_back = threading.Event()
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Take the lease and keep renewing it.

        Raises:
            StoreTaken: another run holds it; the message names its host and pid.
            StoreUnwritable: the place cannot be written.
        """
        try:
            table, row = self._read()
        except (OSError, DeltaError) as error:
            raise self._unwritable(error) from error
        now = self._clock()
        if row is not None and row["until_us"] > now:
            raise self._taken(row, now)
        try:
            self._write(table, now + int(EXPIRES_S * 1e6))
        except CommitFailedError as error:
            raise self._taken(self._read()[1] or {}, self._clock()) from error
        except (OSError, DeltaError) as error:
            # Where there was no table, two runs may both make it; the later one finds the row of the other.
            if table is None and (other := self._row_if_readable()) is not None:
                raise self._taken(other, self._clock()) from error
            raise self._unwritable(error) from error
        if row is not None and row["host"] == socket.gethostname():
            wait_for_end(row["jvm"])
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def _row_if_readable(self) -> dict[str, Any] | None:
        try:
            return self._read()[1]
        except (OSError, DeltaError):
            return None

    def _unwritable(self, error: Exception) -> StoreUnwritable:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return StoreUnwritable(f"{self._uri} cannot be written: {lines[0]}")

    def _taken(self, row: dict[str, Any], now: int) -> StoreTaken:
        who = f"pid {row['pid']} on {row['host']}" if row else "it took it a moment ago"
        left = max(0, (row.get("until_us", 0) - now) / 1e6)
        return StoreTaken(
            f"the store {self._store} is in use by another run ({who}): stop that one first, or use "
            "another store; "
            f"if it was killed, its lease ends in {left:.0f} s"
        )

    def note_jvm(self, pid: int | None) -> None:
        """Keep the pid of this run's JVM; it is in the row from the next renewal on."""
        self._jvm = pid

    def check(self) -> None:
        """Whether it is still held.

        Raises:
            StoreTaken: it was lost.
        """
        if self._lost is None and 0 < self._until_us <= self._clock():
            self._lost = f"the lease of {self._store} could not be renewed for {EXPIRES_S:.0f} s"
        if self._lost is not None:
            raise StoreTaken(
                f"{self._lost}: this run stops, and what it was doing is repeated by the next one"
            )

    def renew(self) -> None:
        """Write the row anew if it is still ours; what cannot be reached is tried again by the caller."""
        with self._lock:
            if self._lost is not None or self._given_back.is_set():
                return
            table, row = self._read()
            if row is None or row["token"] != self._token:
                who = f"pid {row['pid']} on {row['host']}" if row else "somebody who removed it"
                self._lost = f"the lease of {self._store} was taken by {who}"
                return
            self._write(table, self._clock() + int(EXPIRES_S * 1e6))

    def release(self) -> None:
        """Give it back; if another run has it by now, nothing happens."""
        with self._lock:
            if self._until_us == 0 or self._given_back.is_set():
                return
            self._given_back.set()
            try:
                table, row = self._read()
                if row is not None and row["token"] == self._token:
                    self._write(table, 0)
            except (OSError, DeltaError):
                return  # it expires by itself

    def holder(self) -> Holder | None:
        """Who holds it now."""
        _, row = self._read()
        if row is None or row["until_us"] <= self._clock():
            return None
        return Holder(row["host"], row["pid"], row["renewed_us"])

    def _keep(self) -> None:
        count = 0
        while not self._given_back.wait(RENEW_S) and self._lost is None:
            try:
                self.renew()
                count += 1
                if count % _TIDY_EVERY == 0:
                    DeltaTable(self._uri).vacuum(dry_run=False, full=True)
            except (OSError, DeltaError):
                continue  # tried again; `check` says when it has been too long

    def _read(self) -> tuple[DeltaTable | None, dict[str, Any] | None]:
        try:
            table = DeltaTable(self._uri)
        except TableNotFoundError:
            return None, None
        # Not through Arrow's datasets: their threads read by way of Python, and abort a process that exits
        # meanwhile.
        rows = pl.scan_delta(table, use_pyarrow=False).collect().to_dicts()
        return table, rows[-1] if rows else None

    def _write(self, table: DeltaTable | None, until_us: int) -> None:
        now = self._clock()
        row = {
            "token": self._token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "jvm": self._jvm,
            "renewed_us": now,
            "until_us": until_us,
        }
        rows, once = pa.Table.from_pylist([row], schema=_SCHEMA), CommitProperties(max_commit_retries=0)
        if table is None:
            write_deltalake(self._uri, rows, mode="error", configuration=_PROPERTIES, commit_properties=once)
        else:
            write_deltalake(table, rows, mode="overwrite", commit_properties=once)
        self._until_us = until_us


def wait_for_end(pid: int | None) -> None:
    """Wait up to ``JVM_WAIT_S`` seconds for a Java process of this machine to go."""
    deadline = time.monotonic() + JVM_WAIT_S
    while pid and time.monotonic() < deadline:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return
        if b"java" not in command:
            return
        time.sleep(0.1)

"""One ``run`` a store (SEMANTICS 25).

On a local folder the lease is a kernel lock on a file, held for as long as the process lives: it ends with
the process, so a restart after ``kill -9`` begins at once.  The pid inside is for the message only.  A dead
run's JVM may still be going; its pid is noted too, and the next run waits for it.  Elsewhere (``s3://…``, any
URI) it is a row that is renewed and expires: ``store/lease/row_lease.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from store.errors import StoreTaken, StoreUnwritable
from store.lease.row_lease import Holder, RowLease, wait_for_end

_FILE = "lease.json"


class Lease:
    """The right to write a store; take it with :meth:`acquire`, give it back with :meth:`release`."""

    def __init__(self, store_path: str) -> None:
        self._row = RowLease(store_path) if "://" in store_path else None
        self._file = Path(store_path) / _FILE
        self._held: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lease, waiting up to ``JVM_WAIT_S`` seconds for the JVM of a run that was killed.

        Raises:
            StoreTaken: another process holds it; the message names that process.
            StoreUnwritable: the place cannot be written.
        """
        if self._row is not None:
            self._row.acquire()
            return
        try:
            handle = self._file.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreUnwritable(f"{self._file} cannot be written: {error.strerror}") from error
        handle.seek(0)
        before = _parse(handle.read())
        try:
            _lock(handle)
        except OSError as error:
            handle.close()
            raise StoreTaken(
                f"the store {self._file.parent} is in use by another run (pid {before.get('pid', '?')}): "
                "stop that one first, or use another store"
            ) from error
        self._held = handle
        wait_for_end(before.get("jvm"))
        self.note_jvm(None)

    def note_jvm(self, pid: int | None) -> None:
        """Keep the pid of this run's JVM for the run that comes after a kill."""
        if self._row is not None:
            self._row.note_jvm(pid)
        if self._held is None:
            return
        self._held.seek(0)
        self._held.truncate()
        self._held.write(json.dumps({"pid": os.getpid(), "jvm": pid}))
        self._held.flush()

    def check(self) -> None:
        """Whether it is still held; a kernel lock always is.

        Raises:
            StoreTaken: it expired or another run took it: whoever held it must stop writing.
        """
        if self._row is not None:
            self._row.check()

    def release(self) -> None:
        """Give the lease back; without one, nothing happens."""
        if self._row is not None:
            self._row.release()
        if self._held is not None:
            self._held.close()
            self._held = None


def _lock(handle: IO[str]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        time.sleep(0.2)  # `doctor` may have been looking
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(store_path: str) -> Holder | None:
    """Who holds the store's lease now, for a person to see; None: nobody. Takes nothing and writes
    nothing.
    """
    if "://" in store_path:
        return RowLease(store_path).holder()
    try:
        with (Path(store_path) / _FILE).open(encoding="utf-8") as handle:
            before = _parse(handle.read())
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return Holder("this machine", before.get("pid") or 0, time.time_ns() // 1000)
    except OSError:
        return None
    return None


def _parse(text: str) -> dict[str, int]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

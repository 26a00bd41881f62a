"""One ``run`` a store: a kernel lock on a file in the store's folder, held for as long as the process lives.

The lock ends with the process, so a restart after ``kill -9`` begins at once.  The pid inside is for the message only.
A dead run's JVM may still be going; its pid is noted too, and the next run waits for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from store.errors import StoreTaken, StoreUnwritable

JVM_WAIT_S = 10.0


class Lease:
    """The right to write a local store; take it with :meth:`acquire`, give it back with :meth:`release`."""

    def __init__(self, store_path: str) -> None:
        self._file = Path(store_path) / "lease.json"
        self._held: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lease, waiting up to ``JVM_WAIT_S`` seconds for the JVM of a run that was killed.

        Raises:
            StoreTaken: another process holds it; the message names that process.
            StoreUnwritable: the file cannot be written.
        """
        try:
            handle = self._file.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreUnwritable(f"{self._file} cannot be written: {error.strerror}") from error
        handle.seek(0)
        before = _parse(handle.read())
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise StoreTaken(
                f"the store {self._file.parent} is in use by another run (pid {before.get('pid', '?')}): "
                "stop that one first, or use another store"
            ) from error
        self._held = handle
        _wait_for_end(before.get("jvm"))
        self.note_jvm(None)

    def note_jvm(self, pid: int | None) -> None:
        """Keep the pid of this run's JVM for the run that comes after a kill."""
        if self._held is None:
            return
        self._held.seek(0)
        self._held.truncate()
        self._held.write(json.dumps({"pid": os.getpid(), "jvm": pid}))
        self._held.flush()

    def release(self) -> None:
        """Give the lease back; without one, nothing happens."""
        if self._held is not None:
            self._held.close()
            self._held = None


def _parse(text: str) -> dict[str, int]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wait_for_end(pid: int | None) -> None:
    deadline = time.monotonic() + JVM_WAIT_S
    while pid and time.monotonic() < deadline:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return
        if b"java" not in command:
            return
        time.sleep(0.1)

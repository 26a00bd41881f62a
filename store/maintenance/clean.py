"""Deleting what no reader needs any more: entries of logs, and files that no recent version names."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from rules.units import HOUR_US, MINUTE_US
from store.files import SmallFiles
from store.table import Table

log = logging.getLogger(__name__)
LOG_ENTRIES = 50  # a log with as many entries since its checkpoint gets a new checkpoint
VACUUM_EVERY_US = 20 * MINUTE_US
UNUSED_HOURS = 1  # a reader may still be at a version that named the file
_UNREAD_HOURS = 24 * 365


def shorten_log(name: str, table: Table, *, due: bool) -> None:
    """Delete the entries that the log's checkpoint made needless, and write a new checkpoint where the log
    has grown (or where it is ``due``).

    In this order: who has just listed the log reads on from the checkpoint that was there, and finds what
    came after it.
    """
    text = SmallFiles(table.uri, table.storage_options).read("_delta_log/_last_checkpoint")
    if not due and table.version() - (json.loads(text)["version"] if text else 0) < LOG_ENTRIES:
        return
    delta = table.fresh()
    if delta is None:
        return
    if name != "traces":  # whose log waits for the stream (Vacuum)
        delta.cleanup_metadata()
    delta.create_checkpoint()


class Vacuum:
    """Deletes unused files of one store's tables; ``source_next`` is the oldest version of ``traces`` that
    the stream may ask for.
    """

    def __init__(self, source_next: Callable[[], int | None]) -> None:
        self._source_next = source_next
        self._done_us: dict[str, int] = {}  # by table: when it was vacuumed last

    def vacuum(self, name: str, table: Table, now_us: int) -> list[str]:
        """Delete files that no version of the last hour names, and of ``traces`` none that the stream has yet
        to read; a line if any were.
        """
        if now_us - self._done_us.get(name, 0) < VACUUM_EVERY_US:
            return []
        self._done_us[name] = now_us
        delta = table.fresh()
        if delta is None:
            return []
        hours = self._needed_hours(delta, now_us) if name == "traces" else UNUSED_HOURS
        if name == "traces" and hours == UNUSED_HOURS:
            delta.cleanup_metadata()
        try:
            unused = delta.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
            if not unused:
                return []
            delta.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        except CommitFailedError as error:
            log.debug("%s is vacuumed later: %s", table.uri, error)
            return []
        return [f"{len(unused)} unused files deleted"]

    def _needed_hours(self, delta: DeltaTable, now_us: int) -> int:
        """How far back the stream may still read files and log entries: ``UNUSED_HOURS`` once that is the
        last hour.

        After a quiet night that is long ago: what the last batch read is asked for again when the stream
        starts.
        """
        following = self._source_next()
        if following is None:
            return _UNREAD_HOURS
        if following > delta.version():
            return UNUSED_HOURS
        behind = delta.history(delta.version() - following + 1)
        age_us = now_us - int(behind[-1]["timestamp"]) * 1000 if behind else _UNREAD_HOURS * HOUR_US
        return UNUSED_HOURS if age_us < HOUR_US // 2 else age_us // HOUR_US + 2

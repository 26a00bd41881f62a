"""Deleting rows that are older than their table keeps, and that nothing depends on any more."""

from __future__ import annotations

import polars as pl

from rules.units import DAY_US
from store.apply_log import APPLY
from store.batches import arrived_through_us, last_stream
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.retention import day_before, standing
from store.outbox import messages_cursor
from store.rewrite import bound, chunks, files_of, read_files, replace
from store.schemas import TABLES
from store.store import Store
from store.table import Table


class Expiration:
    """Expires the rows of one store's tables."""

    def __init__(self, store: Store, needs: MaintenanceNeeds) -> None:
        self._store, self._needs = store, needs
        self._through_us: dict[str, int] = {}  # by table: everything that could go before this time is gone

    def cutoff(self, name: str, now_us: int) -> int | None:
        """Rows of that table before this time go at ``now_us`` (µs); None: it never expires."""
        kept = self._needs.kept_us(name)
        return None if kept is None else day_before(now_us, kept)

    def expire(self, name: str, now_us: int) -> list[str]:
        """Delete what is due of one table; a line if anything went.

        Evidence goes before the facts that it speaks of, and a fact only once messages were made from it.
        """
        column, cutoff = TABLES[name].expires_by, self.cutoff(name, now_us)
        if column is None or cutoff is None:
            return []
        if name == "facts":
            self.expire("evidence", now_us)
            cutoff = self._not_before_followers(cutoff)
        if name == "traces":
            cutoff = min(cutoff, arrived_through_us(self._store, last_stream(self._store)) or 0)
        if self._through_us.get(name, 0) >= cutoff:
            return []
        table, gone = self._store.table(name), 0
        for paths in chunks(_old_files(table, column, cutoff, whole=name == "traces")):
            expired = self._expire_files(name, table, paths, cutoff)
            if expired is None:
                return []
            gone += expired
        self._through_us[name] = cutoff
        return [f"{gone} rows expired"] if gone else []

    def _expire_files(self, name: str, table: Table, paths: list[str], cutoff: int) -> int | None:
        """Write some files anew without their old rows; how many those were, None where it must be tried
        later.
        """
        if name == "traces":  # whole files: one that was rewritten would be read again by the stream
            stay, expired = pl.DataFrame(), _rows_in(table, paths)
        else:
            rows = read_files(table, paths)
            stay = standing(self._store, name, rows, cutoff, self._needs.is_withdrawal)
            expired = rows.height - stay.height
        if not expired:
            return 0
        app_id = "maintenance:expire"
        done = replace(table, paths, [stay], app_id=app_id, version=cutoff, operation="expire")
        return expired if done else None

    def _not_before_followers(self, cutoff: int) -> int:
        """Facts that no messages were made from yet stay, and with them every fact of their day and later."""
        stream = last_stream(self._store)
        if not self._needs.messages or stream is None:
            return cutoff
        unread = self._unread(stream) | self._unread(APPLY)
        found = self._store.table("facts").read(["end_us"], unread & (pl.col("end_us") < cutoff))
        first = found["end_us"].min()
        return min(cutoff, first // DAY_US * DAY_US) if isinstance(first, int) else cutoff

    def _unread(self, stream: str) -> pl.Expr:
        """The facts of a stream that no messages were made from yet."""
        cursor = self._store.table("outbox").app_version(messages_cursor(stream))
        return (pl.col("stream_id") == stream) & (pl.col("batch_id") > (-1 if cursor is None else cursor))


def _old_files(table: Table, column: str, cutoff: int, *, whole: bool) -> pl.DataFrame:
    """The files that may have a row older than ``cutoff``; ``whole``: that have no other."""
    delta = table.fresh()
    files = files_of(delta) if delta is not None else pl.DataFrame()
    if not files.height:
        return files
    edge = bound(files, "max" if whole else "min", column)
    return files.filter((edge < cutoff).fill_null(not whole)).sort("path")


def _rows_in(table: Table, paths: list[str]) -> int:
    delta = table.fresh()
    if delta is None:
        return 0
    return int(files_of(delta).filter(pl.col("path").is_in(paths))["num_records"].sum() or 0)

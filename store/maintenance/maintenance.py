"""Maintenance of the store's own tables, off the hot path: small files, old rows, old logs (SEMANTICS 10,
19).

One table at a time: expired rows go, minutes become longer windows, small files become few, logs and unused
files are deleted.  Every change is one Delta commit beside which appends go on: what conflicts is given up
and tried later, and a crash at any instruction leaves either the former or the new state.  Nothing goes that
a follower, the stream's checkpoint or ``undo`` still needs.  Times are given, never read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError

from rules.units import DAY_US, HOUR_US, MINUTE_US
from store.files import SmallFiles
from store.maintenance.retention import DEFAULTS_US, day_before, standing
from store.maintenance.rewrite import bound, files_of, read_files, replace
from store.schemas import TABLES
from store.schemas.spec import IsWithdrawal
from store.store import Store
from store.table import Table
from store.windows import coarsened

log = logging.getLogger(__name__)
SMALL_FILES = 50  # a table with as many small files is compacted; each costs a reader about 0.5 ms
LOG_ENTRIES = 50  # a log with as many entries since it was summed up is summed up again
TARGET_BYTES = (
    32 << 20
)  # what compaction makes of them: what it rewrites each time, and a reader's unit of pruning
SMALL_BYTES = TARGET_BYTES // 2
_CHUNK_BYTES = 128 << 20  # of files rewritten in one commit
FINE_US, COARSE_US = 5 * MINUTE_US, 60 * MINUTE_US
COARSE_AFTER_US = 14 * DAY_US
VACUUM_EVERY_US = 20 * MINUTE_US
UNUSED_HOURS = 1  # a reader may still be at a version that named the file
_UNREAD_HOURS = 24 * 365


@dataclass(frozen=True)
class MaintenanceNeeds:
    """What maintenance must leave alone; the functions are asked anew each time."""

    keep_us: Mapping[str, int] = field(default_factory=dict)  # retention by table, over the defaults
    least_us: Mapping[str, int] = field(
        default_factory=dict
    )  # what must be kept whatever the retention: dedupe_horizon, …
    revise_us: int = 2 * DAY_US
    longest_window_us: Callable[[], int] = lambda: 0
    source_next: Callable[[], int | None] = lambda: (
        None
    )  # the oldest version of `traces` that the stream may ask for
    messages: bool = False  # whether wishes are made from facts
    # Whether nothing is left to take back of a target once its sink has delivered this payload.
    is_withdrawal: IsWithdrawal = lambda _sink, _payload: False

    def kept_us(self, name: str) -> int | None:
        """How long rows of that table are kept, µs; None: for ever."""
        if name not in DEFAULTS_US:
            return None
        kept = self.keep_us.get(name, DEFAULTS_US[name])
        if name in ("windows", "verdicts"):
            kept = max(kept, self.revise_us + self.longest_window_us() + DAY_US)
        if name == "evidence":  # a trace whose evidence outlived its fact would lose its tags
            kept = min(kept, (self.kept_us("facts") or 0) - self.longest_window_us() - 2 * DAY_US)
        if name == "person_labels":  # a label that outlived its fact would be delivered no more
            kept = max(kept, (self.kept_us("facts") or 0) + 2 * DAY_US)
        least = self.least_us.get(name)
        return kept if least is None else max(kept, least + 2 * DAY_US)

    def kept_days(self, name: str) -> float | None:
        """The same in days."""
        kept = self.kept_us(name)
        return None if kept is None else kept / DAY_US


class Maintenance:
    """Tends the tables of one store; whoever calls it holds the store's lease. Use it from one thread."""

    def __init__(self, store: Store, needs: MaintenanceNeeds) -> None:
        self._store, self._needs = store, needs
        self._turn = 0
        self._looked_us: dict[
            str, int
        ] = {}  # by table: the cut-off up to which everything that could go is gone
        self._vacuumed_us: dict[str, int] = {}
        self._tended: dict[str, int] = {}  # by table: its version then

    def step(self, now_us: int) -> list[str]:
        """Tend the next table, and before it the one that has grown most if that is due; what was done, for
        the log.
        """
        name = list(TABLES)[self._turn % len(TABLES)]
        self._turn += 1
        grown = {other: self._store.table(other).version() - self._tended.get(other, 0) for other in TABLES}
        most = max(grown, key=lambda other: grown[other])
        first = [most] if grown[most] >= SMALL_FILES and most != name else []
        return [line for one in (*first, name) for line in self.tend(one, now_us)]

    def all(self, now_us: int) -> list[str]:
        """Tend every table; a store that needs nothing is not written."""
        return [line for name in TABLES for line in self.tend(name, now_us)]

    def tend(self, name: str, now_us: int) -> list[str]:
        """Expire, coarsen, compact and clean one table, each if it is due.

        Raises:
            OSError, DeltaError: the place cannot be written; nothing is lost, and the next call tries again.
        """
        table = self._store.table(name)
        if table.version() < 0 or self._in_the_middle(name):
            return []
        self._tended[name] = table.version()
        done = [*self._expire(name, table, now_us)]
        if name == "windows":
            done += self._coarsen(table, now_us)
        compacted = self._compact(table)
        done += compacted
        self._shorten_log(name, table, due=bool(compacted))
        done += self._clean(name, table, now_us)
        for line in done:
            log.info("%s: %s", name, line)
        return [f"{name}: {line}" for line in done]

    def cutoff(self, name: str, now_us: int) -> int | None:
        """Rows of that table before this time go at ``now_us`` (µs); None: it never expires."""
        kept = self._needs.kept_us(name)
        return None if kept is None else day_before(now_us, kept)

    def _in_the_middle(self, name: str) -> bool:
        """Whether a batch is half written: its facts' commit, and what it says, are still to be read."""
        if TABLES[name].writer != "batch":
            return False
        stream = self._stream()
        facts = self._store.table("facts").app_version(f"facts:{stream}") if stream else None
        ended = self._store.table("batches").app_version(f"batches:{stream}") if stream else None
        return facts is not None and (ended is None or facts > ended)

    def _stream(self) -> str | None:
        rows = self._store.table("batches").read(["stream_id", "now_us"]).sort("now_us", maintain_order=True)
        return str(rows["stream_id"][-1]) if rows.height else None

    def _expire(self, name: str, table: Table, now_us: int) -> list[str]:
        column, cutoff = TABLES[name].expires_by, self.cutoff(name, now_us)
        if column is None or cutoff is None:
            return []
        if name == "facts":
            self._expire("evidence", self._store.table("evidence"), now_us)
            cutoff = self._not_before_followers(cutoff)
        if name == "traces":
            cutoff = min(cutoff, self._arrived_through())
        if self._looked_us.get(name, 0) >= cutoff:
            return []
        gone = 0
        for paths in _chunks(self._old_files(name, table, column, cutoff)):
            if name == "traces":  # whole files: one that was rewritten would be read again by the stream
                stay, expired = pl.DataFrame(), _rows_in(table, paths)
            else:
                rows = read_files(table, paths)
                stay = standing(self._store, name, rows, cutoff, self._needs.is_withdrawal)
                expired = rows.height - stay.height
            if expired:
                if not replace(
                    table, paths, [stay], app_id="maintenance:expire", version=cutoff, operation="expire"
                ):
                    return []
                gone += expired
        self._looked_us[name] = cutoff
        return [f"{gone} rows expired"] if gone else []

    def _old_files(self, name: str, table: Table, column: str, cutoff: int) -> pl.DataFrame:
        delta = table.fresh()
        files = files_of(delta) if delta is not None else pl.DataFrame()
        if not files.height:
            return files
        edge = bound(files, "max" if name == "traces" else "min", column)
        return files.filter((edge < cutoff).fill_null(name != "traces")).sort("path")

    def _not_before_followers(self, cutoff: int) -> int:
        """Facts that wishes were not made from yet stay, and with them every fact of their day and later."""
        stream = self._stream()
        if not self._needs.messages or stream is None:
            return cutoff
        cursor = self._store.table("outbox").app_version(f"wishes:{stream}")
        unread = (pl.col("stream_id") == stream) & (pl.col("batch_id") > (-1 if cursor is None else cursor))
        first = (
            self._store.table("facts").read(["end_us"], unread & (pl.col("end_us") < cutoff))["end_us"].min()
        )
        return min(cutoff, first // DAY_US * DAY_US) if isinstance(first, int) else cutoff

    def _arrived_through(self) -> int:
        """``landed_us`` up to which the stream's finished batches have read ``traces``; batches take it in
        that order.
        """
        mine = pl.col("stream_id").eq_missing(pl.lit(self._stream(), dtype=pl.String)) & (
            pl.col("phase") == "end"
        )
        through = self._store.table("batches").read(["arrived_through_us"], mine)["arrived_through_us"].max()
        return through if isinstance(through, int) else 0

    def _coarsen(self, table: Table, now_us: int) -> list[str]:
        """One-minute partials that no verdict is computed from any more become 5-minute, later 1-hour
        ones.
        """
        settled = (
            self._needs.revise_us + self._needs.longest_window_us() + HOUR_US
        )  # evaluation is behind by some minutes
        fine, coarse = day_before(now_us, settled), day_before(now_us, max(settled, COARSE_AFTER_US))
        app = "maintenance:coarsen"
        if (table.app_version(app) or 0) >= fine:
            return []
        before, after = 0, 0
        for paths in _chunks(self._fine_files(table, fine, coarse)):
            rows = read_files(table, paths)
            to_hours = (pl.col("start_us") < coarse) & (pl.col("size_us") < COARSE_US)
            to_fives = (
                (pl.col("start_us") >= coarse) & (pl.col("start_us") < fine) & (pl.col("size_us") < FINE_US)
            )
            merged = [coarsened(rows.filter(to_hours), COARSE_US), coarsened(rows.filter(to_fives), FINE_US)]
            stay = rows.filter(~to_hours & ~to_fives)
            old = pl.concat([frame.select(rows.columns) for frame in merged])
            if stay.height == rows.height:
                continue
            if not replace(table, paths, [old, stay], app_id=app, version=fine - 1, operation="coarsen"):
                return []
            before, after = before + rows.height - stay.height, after + old.height
        if before:
            table.append([], app_id=app, version=fine, metadata={"maintenance": "coarsen"})
        return [f"{before} partials became {after} of longer windows"] if before else []

    def _fine_files(self, table: Table, fine: int, coarse: int) -> pl.DataFrame:
        delta = table.fresh()
        files = files_of(delta) if delta is not None else pl.DataFrame()
        if not files.height:
            return files
        start, size = bound(files, "min", "start_us"), bound(files, "min", "size_us")
        due = ((start < fine) & (size < FINE_US)) | ((start < coarse) & (size < COARSE_US))
        return files.filter(due.fill_null(True)).sort("path")

    def _compact(self, table: Table) -> list[str]:
        delta = table.fresh()
        if delta is None:
            return []
        files = files_of(delta)
        if files.filter(pl.col("size_bytes") < SMALL_BYTES).height < SMALL_FILES:
            return []
        try:
            done = delta.optimize.compact(
                target_size=TARGET_BYTES,
                max_concurrent_tasks=1,
                writer_properties=WriterProperties(compression="ZSTD", max_row_group_size=50_000),
            )
        except CommitFailedError as error:
            log.debug("%s is compacted later: %s", table.uri, error)
            return []
        left = files.height - done["numFilesRemoved"] + done["numFilesAdded"]
        return [f"{files.height} files became {left}"]

    def _shorten_log(self, name: str, table: Table, *, due: bool) -> None:
        """Delete the entries that an earlier sum made needless, and sum a log up that has grown (or where it
        is ``due``).

        In this order: who has just listed the log reads on from the sum that was there, and finds what came
        after it.
        """
        text = SmallFiles(table.uri, table.storage_options).read("_delta_log/_last_checkpoint")
        if not due and table.version() - (json.loads(text)["version"] if text else 0) < LOG_ENTRIES:
            return
        delta = table.fresh()
        if delta is None:
            return
        if name != "traces":  # whose log waits for the stream (_clean)
            delta.cleanup_metadata()
        delta.create_checkpoint()

    def _clean(self, name: str, table: Table, now_us: int) -> list[str]:
        """Delete files that no version of the last hour names, and of ``traces`` none that the stream has yet
        to read.
        """
        if now_us - self._vacuumed_us.get(name, 0) < VACUUM_EVERY_US:
            return []
        self._vacuumed_us[name] = now_us
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
        """How far back files and log entries may still be read by the stream: ``UNUSED_HOURS`` once that is
        the last hour.

        After a quiet night that is long ago: what the last batch read is asked for again when the stream
        starts.
        """
        following = self._needs.source_next()
        if following is None:
            return _UNREAD_HOURS
        if following > delta.version():
            return UNUSED_HOURS
        behind = delta.history(delta.version() - following + 1)
        age_us = now_us - int(behind[-1]["timestamp"]) * 1000 if behind else _UNREAD_HOURS * HOUR_US
        return UNUSED_HOURS if age_us < HOUR_US // 2 else age_us // HOUR_US + 2


def _rows_in(table: Table, paths: list[str]) -> int:
    delta = table.fresh()
    files = (
        files_of(delta)
        if delta is not None
        else pl.DataFrame(schema={"path": pl.String, "num_records": pl.Int64})
    )
    return int(files.filter(pl.col("path").is_in(paths))["num_records"].sum() or 0)


def _chunks(files: pl.DataFrame) -> list[list[str]]:
    """Paths in groups of at most ``_CHUNK_BYTES``: what is in memory at once."""
    groups: list[list[str]] = []
    size = _CHUNK_BYTES
    for path, bytes_ in files.select("path", "size_bytes").iter_rows() if files.height else ():
        if size + bytes_ > _CHUNK_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += bytes_
    return groups

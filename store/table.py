"""One Delta table of the store, through delta-rs: idempotent appends and fresh reads.

An append that carries an application transaction (``app_id``, ``version``) happens once, however often it is
repeated: delta-rs records the version in the same atomic commit, and does not itself refuse a used one, so it
is compared first. That comparison is safe because every table has a single writer
(``store/schemas``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from store.errors import StoreUnwritable, first_line
from store.schemas import TableSpec

Rows = Any  # a pyarrow Table, a Polars DataFrame or a sequence of dicts
PROPERTIES = {
    # no one reads older versions; a long log slows every commit
    "delta.logRetentionDuration": "interval 1 minutes",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}
# Spark streams from this one: a run that was down must find the versions that it has not read yet, so that
# only maintenance, which knows how far the stream has read, cleans its log.
STREAMED = {
    **PROPERTIES,
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.enableExpiredLogCleanup": "false",
}
# Checkpoints and what they make needless are maintenance's: after an append they would list the whole log,
# every time.
_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_ATTEMPTS = 5
_LIST_EVERY_S = 20.0
RENEW = 50  # versions after which a handle is opened anew


class Table:
    """One table; safe to share between threads.

    Delivery guarantee of :meth:`append`: exactly once for a given ``(app_id, version)``, at least once
    without.
    """

    def __init__(self, uri: str, spec: TableSpec, storage_options: dict[str, str] | None = None) -> None:
        self.uri = uri
        self.spec = spec
        self._options = storage_options
        self._lock = threading.RLock()
        self._handle: DeltaTable | None = None
        self._opened_at = 0  # the version that the handle was opened at
        self._listed_s = -_LIST_EVERY_S
        self._complete = False  # whether the table is known to have every column of the schema
        self._properties = STREAMED if spec.writer == "landing" else PROPERTIES

    def append(
        self,
        rows: Rows,
        *,
        app_id: str | None = None,
        version: int | None = None,
        metadata: dict[str, str] | None = None,
        marks: dict[str, int] | None = None,
    ) -> bool:
        """Append ``rows`` in one commit; False when ``(app_id, version)`` is in already.

        No commit is made for no rows, unless there is a transaction or ``metadata`` to be kept.  ``marks``
        are further application transactions, recorded in the same commit without being compared: how far a
        follower is.

        Raises:
            StoreUnwritable: the place cannot be written (permission, full disk).
            ValueError: a row has a column that the table does not have.
        """
        table = self._arrow(rows)
        with self._lock:
            if app_id is not None and version is not None:
                known = self.app_version(app_id)
                if known is not None and known >= version:
                    return False
            named = {app_id: version} if app_id is not None and version is not None else {}
            transactions = [Transaction(name, number) for name, number in {**(marks or {}), **named}.items()]
            if table.num_rows == 0 and not metadata and not transactions:
                return True
            custom = {**(metadata or {}), **({"app": f"{app_id}@{version}"} if named else {})}
            self._commit(
                table, CommitProperties(custom_metadata=custom, app_transactions=transactions or None)
            )
            return True

    def _commit(self, table: pa.Table, properties: CommitProperties) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                handle = self._open()
                if handle is None:
                    write_deltalake(
                        self.uri,
                        table,
                        mode="append",
                        configuration=self._properties,
                        storage_options=self._options,
                        commit_properties=properties,
                        post_commithook_properties=_HOOKS,
                    )
                else:
                    merge = None if self._has_all_columns(handle) else "merge"
                    write_deltalake(
                        handle,
                        table,
                        mode="append",
                        schema_mode=merge,
                        commit_properties=properties,
                        post_commithook_properties=_HOOKS,
                    )
                return
            except CommitFailedError as error:  # compaction ran between; the append itself is not in
                if attempt == _ATTEMPTS - 1:
                    raise StoreUnwritable(
                        f"{self.uri}: other commits came between, {_ATTEMPTS} times: {error}"
                    ) from error
            except (OSError, DeltaError) as error:
                self._handle = None
                raise StoreUnwritable(f"{self.uri} cannot be written: {first_line(error)}") from error

    def _has_all_columns(self, handle: DeltaTable) -> bool:
        """Whether the table has every column of the schema: one made by an older program may lack some."""
        if not self._complete:
            self._complete = set(self.spec.schema.names) <= {field.name for field in handle.schema().fields}
        return self._complete

    def app_version(self, app_id: str) -> int | None:
        """The last version of that application that was committed, or None."""
        handle = self._open()
        return None if handle is None else handle.transaction_version(app_id)

    def app_metadata(self, app_id: str, version: int, limit: int = 200) -> dict[str, str] | None:
        """The metadata that the append ``(app_id, version)`` kept, looked up among the last ``limit``
        commits.
        """
        handle = self._open()
        if handle is None:
            return None
        return next(
            (entry for entry in handle.history(limit) if entry.get("app") == f"{app_id}@{version}"), None
        )

    def read(self, columns: Sequence[str] | None = None, where: pl.Expr | None = None) -> pl.DataFrame:
        """The rows as they are now, files pruned by their statistics.

        An absent table reads as an empty one, a column that an older table lacks as nulls.
        """
        handle = self._open()
        if handle is None:
            empty = self.empty()
            return empty.select(columns) if columns is not None else empty
        frame = pl.scan_delta(handle, use_pyarrow=False)
        if not self._has_all_columns(handle):
            there = set(frame.collect_schema().names())
            absent = self.empty().schema
            frame = frame.with_columns(
                pl.lit(None, dtype=absent[name]).alias(name) for name in absent if name not in there
            )
        if where is not None:
            frame = frame.filter(where)
        return frame.select(self.spec.schema.names if columns is None else columns).collect()

    @property
    def storage_options(self) -> dict[str, str] | None:
        """How its place is reached, as delta-rs names it."""
        return self._options

    def empty(self) -> pl.DataFrame:
        """No rows, in every column of the schema.

        Not by Arrow's ``empty_table``, which imports pandas and doubles the start of every read-only command.
        """
        return pl.DataFrame(pa.Table.from_batches([], schema=self.spec.schema))

    def version(self) -> int:
        """The table's version, -1 while it is absent."""
        handle = self._open()
        return -1 if handle is None else handle.version()

    def create(self) -> None:
        """Create the table if it is absent (Spark can then stream from it)."""
        with self._lock:
            if self._open() is None:
                try:
                    DeltaTable.create(
                        self.uri,
                        self.spec.schema,
                        configuration=self._properties,
                        mode="ignore",
                        storage_options=self._options,
                    )
                except (OSError, DeltaError) as error:
                    raise StoreUnwritable(f"{self.uri} cannot be written: {error}") from error

    def delta(self) -> DeltaTable | None:
        """The delta-rs handle at the latest version, None while the table is absent."""
        return self._open()

    def fresh(self) -> DeltaTable | None:
        """A handle of the caller's own at the latest version, which no other thread moves; None while there
        is no table.
        """
        return None if self._open() is None else DeltaTable(self.uri, storage_options=self._options)

    def _open(self) -> DeltaTable | None:
        """The handle at the latest version.

        It is opened anew now and then: it goes through every entry of the log since the checkpoint that it
        was opened from at each commit (0.1 ms each), and only so takes up a newer one.
        """
        with self._lock:
            if self._handle is None or self._handle.version() - self._opened_at >= RENEW:
                if "://" not in self.uri and not (Path(self.uri) / "_delta_log").is_dir():
                    return None
                try:
                    self._handle = DeltaTable(self.uri, storage_options=self._options)
                except TableNotFoundError:
                    return None
                self._opened_at = self._handle.version()
            elif self._may_be_behind(self._handle):
                self._handle.update_incremental()
            return self._handle

    def _may_be_behind(self, handle: DeltaTable) -> bool:
        """Whether there may be newer commits: on a local folder, whether the file of the very next one is
        there.

        An update lists the whole log: 2 µs for each entry, many times a batch.  Versions have no gaps, and
        the file of the next one stays for a minute (``PROPERTIES``), so that listing the whole log every 20
        seconds misses nothing.
        """
        if "://" in self.uri or time.monotonic() - self._listed_s > _LIST_EVERY_S:
            self._listed_s = time.monotonic()
            return True
        return Path(self.uri, "_delta_log", f"{handle.version() + 1:020}.json").exists()

    def _arrow(self, rows: Rows) -> pa.Table:
        schema = self.spec.schema
        if isinstance(rows, pl.DataFrame):
            rows = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        if isinstance(rows, pa.Table):
            self._check_columns(rows.column_names)
            return rows.select(schema.names).cast(schema)
        rows = list(rows)
        self._check_columns({name for row in rows for name in row})
        return pa.Table.from_pylist(rows, schema=schema)

    def _check_columns(self, names: Iterable[str]) -> None:
        """A column that the table does not have would be dropped without a word."""
        unknown = sorted(set(names) - set(self.spec.schema.names))
        if unknown:
            raise ValueError(f"{self.uri} has no column {', '.join(unknown)}")

"""Following a table: the rows that were appended since last time, read from the commits themselves.

A poll of a table to which nothing was appended asks the file system for one file, however large the table is;
a commit costs reading its own files.  A commit that rewrites rows (compaction, expiry) is no append, and is
skipped.  A tail lives in memory; a follower's lasting cursor is the batch it has followed, and is kept with
its output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from store.errors import TailLost
from store.files import file_system, json_lines
from store.rewrite import read_files
from store.table import Table

_LOST_EVERY = 20  # polls without a new commit, of which one asks the table itself whether commits are gone


@dataclass(frozen=True)
class Commit:
    """One append: its rows, and the application transactions that it recorded.

    The rows are without the columns that the table's spec calls ``detail``.
    """

    version: int
    rows: pl.DataFrame
    transactions: dict[str, int]


class Tail:
    """The appends to a table after now (or after ``version``); exactly once each, in order."""

    def __init__(self, table: Table, version: int | None = None) -> None:
        self._table = table
        self._files = file_system(table.uri, table.storage_options)
        self._idle = 0
        self.version = table.version() if version is None else version

    def poll(self) -> list[Commit]:
        """The commits since the last call.

        Raises:
            TailLost: some of them are gone; nothing of this call has been given out.
        """
        found, version = [], self.version
        while (commit := self._commit(version + 1)) is not None:
            version += 1
            if commit.rows.height or commit.transactions:
                found.append(commit)
        self._idle = self._idle + 1 if version == self.version else 0
        if (
            self._idle % _LOST_EVERY == 1
            and self._table.version() > version
            and self._commit(version + 1) is None
        ):
            raise TailLost(self._table.uri)
        self.version = version
        return found

    def rows(self) -> pl.DataFrame | None:
        """The rows that were appended since the last call, None if there are none."""
        frames = [commit.rows for commit in self.poll() if commit.rows.height]
        return pl.concat(frames) if frames else None

    def back(self) -> Iterator[Commit]:
        """The commits before this one, the newest first, as far as the log still has them; the tail stays
        where it is.
        """
        version = self.version
        while version >= 0 and (commit := self._commit(version)) is not None:
            yield commit
            version -= 1

    def _commit(self, version: int) -> Commit | None:
        path = f"_delta_log/{version:020d}.json"
        try:
            with self._files.open_input_stream(path) as stream:
                actions = json_lines(stream.read().decode())
        except FileNotFoundError:
            return None
        adds = [action["add"] for action in actions if "add" in action]
        transactions = {
            action["txn"]["appId"]: action["txn"]["version"] for action in actions if "txn" in action
        }
        if any("remove" in action for action in actions):
            adds = []  # rows that were there before, in other files
        paths = [add["path"] for add in adds if add.get("dataChange", True)]
        try:
            rows = read_files(self._table, paths, self._files, without=self._table.spec.detail)
            return Commit(version, rows, transactions)
        except FileNotFoundError as error:
            raise TailLost(f"{self._table.uri}: {error}") from error

"""Making few large files of many small ones: each file costs a reader about 0.5 ms."""

from __future__ import annotations

import logging

import polars as pl
from deltalake import WriterProperties
from deltalake.exceptions import CommitFailedError

from store.rewrite import ROW_GROUP, files_of
from store.table import Table

log = logging.getLogger(__name__)
SMALL_FILES = 50  # a table with as many small files is compacted
TARGET_BYTES = 32 << 20  # of a compacted file: what is rewritten each time, and a reader's unit of pruning
SMALL_BYTES = TARGET_BYTES // 2


def compact(table: Table) -> list[str]:
    """Compact a table that has many small files; a line if it was.

    A table that another commit changed meanwhile is left for the next time.
    """
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
            writer_properties=WriterProperties(
                compression="ZSTD", max_row_group_size=table.spec.row_group or ROW_GROUP
            ),
        )
    except CommitFailedError as error:
        log.debug("%s is compacted later: %s", table.uri, error)
        return []
    left = files.height - done["numFilesRemoved"] + done["numFilesAdded"]
    return [f"{files.height} files became {left}"]

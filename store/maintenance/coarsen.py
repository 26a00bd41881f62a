"""Adding up old minutes: one-minute windows that no verdict is computed from any more become longer ones."""

from __future__ import annotations

import polars as pl

from rules.units import DAY_US, HOUR_US, MINUTE_US
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.retention import day_before
from store.rewrite import bound, chunks, files_of, read_files, replace
from store.table import Table
from store.windows import coarsened

FINE_US, COARSE_US = 5 * MINUTE_US, 60 * MINUTE_US
COARSE_AFTER_US = 14 * DAY_US
APP_ID = "maintenance:coarsen"  # its version is the time up to which all is coarsened


def coarsen(table: Table, needs: MaintenanceNeeds, now_us: int) -> list[str]:
    """Make 5-minute windows of what is settled, and 1-hour ones after two weeks; a line if anything was."""
    settled_us = (
        needs.revise_us + needs.longest_window_us() + HOUR_US
    )  # evaluation may be some minutes behind
    fine, coarse = day_before(now_us, settled_us), day_before(now_us, max(settled_us, COARSE_AFTER_US))
    if (table.app_version(APP_ID) or 0) >= fine:
        return []
    before, after = 0, 0
    for paths in chunks(_fine_files(table, fine, coarse)):
        rows = read_files(table, paths)
        stay, longer = _split(rows, fine, coarse)
        if stay.height == rows.height:
            continue
        # The version stands one below until all files are done.
        if not replace(table, paths, [longer, stay], app_id=APP_ID, version=fine - 1, operation="coarsen"):
            return []
        before, after = before + rows.height - stay.height, after + longer.height
    if before:
        table.append([], app_id=APP_ID, version=fine, metadata={"maintenance": "coarsen"})
    return [f"{before} partials became {after} of longer windows"] if before else []


def _split(rows: pl.DataFrame, fine: int, coarse: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that stay as they are, and the others added up."""
    start, size = pl.col("start_us"), pl.col("size_us")
    to_hours = (start < coarse) & (size < COARSE_US)
    to_fives = (start >= coarse) & (start < fine) & (size < FINE_US)
    merged = [coarsened(rows.filter(to_hours), COARSE_US), coarsened(rows.filter(to_fives), FINE_US)]
    return rows.filter(~to_hours & ~to_fives), pl.concat([frame.select(rows.columns) for frame in merged])


def _fine_files(table: Table, fine: int, coarse: int) -> pl.DataFrame:
    """The files that may have a window to be coarsened."""
    delta = table.fresh()
    files = files_of(delta) if delta is not None else pl.DataFrame()
    if not files.height:
        return files
    start, size = bound(files, "min", "start_us"), bound(files, "min", "size_us")
    due = ((start < fine) & (size < FINE_US)) | ((start < coarse) & (size < COARSE_US))
    return files.filter(due.fill_null(True)).sort("path")

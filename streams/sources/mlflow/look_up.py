"""One trace on an MLflow server, for ``explain``: found by its id or its beginning; why no run reads it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rules.units import MINUTE_US, iso_time
from store.final_through import stored_final_through_us
from streams.sources.base import Sighting
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.known import Cursor, read_cursors
from streams.sources.mlflow.rows import end_us, info_row, trace_row

if TYPE_CHECKING:
    from store import Store
    from streams.sources.mlflow.source import MlflowSource

_ID = re.compile(r"[A-Za-z0-9:/._-]+")  # what needs no quoting in a filter


def look_up(source: MlflowSource, store: Store, text: str) -> list[Sighting]:
    """The trace of that id, in any experiment; else those of the config's experiments whose ids begin so.

    Raises:
        SourceDown: no server, no access.
    """
    if not _ID.fullmatch(text):
        return []
    reader = MlflowReader(source.tracking_uri)
    watched = source.found(reader, store).names  # where none is there, the trace itself says where it is
    infos = reader.infos([text]) or reader.beginning_with(list(watched), text)
    if len(infos) != 1:
        return [Sighting(info_row(info, None)) for info in infos]
    (info,) = infos
    name = watched.get(info.experiment_id) or reader.current_name(info.experiment_id)
    traces, _ = reader.fetch(infos)
    row = trace_row(traces[0], name) if traces else info_row(info, name)
    return [_placed(source, store, info, row, watched)]


def _placed(
    source: MlflowSource, store: Store, info: Any, row: Mapping[str, Any], watched: Mapping[str, str]
) -> Sighting:
    """The trace, with why no run reads it."""
    if watched and info.experiment_id not in watched:
        experiment = row["experiment_name"] or info.experiment_id
        named = ", ".join(watched.values())
        return Sighting(row, "not_watched", f"its experiment is {experiment}; source.experiments has {named}")
    cursor = read_cursors(store.table("landing")).get(info.experiment_id)
    if cursor is not None and end_us(info) <= cursor.low_us:
        return _before(source, store, info, row, cursor)
    return Sighting(row)


def _before(
    source: MlflowSource, store: Store, info: Any, row: Mapping[str, Any], cursor: Cursor
) -> Sighting:
    """A trace that ended before all that has landed: a backlog will reach it, or none does."""
    begins_us = source.start_us(time.time_ns() // 1000, 0)
    if end_us(info) > begins_us + MINUTE_US and stored_final_through_us(store) is None:
        return Sighting(row, why=f"the backlog is read back to {iso_time(cursor.low_us)} so far")
    why = (
        f"it ended at {iso_time(end_us(info))}; by source.start ({source.start}) the run reads what ended "
        f"after {iso_time(cursor.low_us)}: an earlier source.start counts it"
    )
    return Sighting(row, "before_start", why)

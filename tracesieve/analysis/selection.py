"""Which traces of a range a condition of the rules' language matches; starts no Java.

A range holds the traces whose facts stand: what was amended, left out or expired, and what is in progress,
is not looked at as it was. The condition is evaluated on the row of the trace table that was counted, by the
matcher of the stream; parts of it that the fact itself decides are decided there, so that a trace whose
content is gone can still be found by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from rules.dialect import Condition
from rules.matcher import Matcher, raw_table, sound
from rules.units import LONGEST_TRACE_MS, MINUTE_US
from store.content import TraceTable
from store.schemas import TRACES
from store.store import NETTED, Store, net_facts
from store.trace_columns import DISTINGUISHING
from tracesieve.analysis.decided import decided

COLUMNS = (*NETTED, "start_us", "end_us", "state", "duration_us", "experiment_id", "experiment")
_SEEN = {
    "trace_id": pl.String,
    "start_us": pl.Int64,
    "state": pl.String,
    "duration_us": pl.Int64,
    "landed_us": pl.Int64,
    "matches": pl.Boolean,
}


@dataclass(frozen=True)
class Selection:
    """The traces that a condition matches.

    Attributes:
        condition: what they match.
        facts: their standing facts (:data:`COLUMNS`), by end, then id.
        searched: how many traces of the range were looked at.
        gone: how many of these may match and have no content any more; they are not in ``facts``.
        experiments: of the traces that were looked at, ``experiment_id``, ``experiment``, ``traces``,
            ``matches``.
    """

    condition: Condition
    facts: pl.DataFrame
    searched: int
    gone: int
    experiments: pl.DataFrame

    def of(self, facts: pl.DataFrame) -> pl.DataFrame:
        """Those of a frame with ``trace_id`` that are among them."""
        return facts.join(self.facts.select("trace_id"), on="trace_id", how="semi")


def select(
    store: Store,
    table: TraceTable,
    condition: Condition,
    from_us: int,
    to_us: int,
    now_us: int,
    among: pl.Expr | None = None,
) -> Selection:
    """The traces that ended in [from, to), those dated in the future held back, for which the condition is
    TRUE; of those facts for which ``among`` holds, or of all.

    Raises:
        StoreError: the trace table cannot be read.
    """
    facts = standing(store, from_us, to_us, now_us)
    if among is not None:
        facts = facts.filter(among)
    surely, undecided = decided(facts, condition)
    matched, gone = _matched(table, undecided, condition)
    found = pl.concat([surely, matched]).sort("end_us", "trace_id")
    key = ["experiment_id", "experiment"]
    counts = facts.group_by(key).agg(pl.len().alias("traces"))
    hits = found.group_by(key).agg(pl.len().alias("matches"))
    by_experiment = counts.join(hits, on=key, how="left", nulls_equal=True).with_columns(
        pl.col("matches").fill_null(0)
    )
    return Selection(condition, found, facts.height, gone, by_experiment.sort(key))


def standing(store: Store, from_us: int, to_us: int, now_us: int, more: Sequence[str] = ()) -> pl.DataFrame:
    """The standing facts (:data:`COLUMNS` and ``more``) of a range, those dated in the future held back."""
    until = min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    return net_facts(store.table("facts").read(list(dict.fromkeys((*COLUMNS, *more))), touched))


def _matched(table: TraceTable, facts: pl.DataFrame, condition: Condition) -> tuple[pl.DataFrame, int]:
    """Those of the facts whose content matches, and how many have no content."""
    if facts.is_empty():
        return facts, 0
    matcher = Matcher([condition])
    pieces = table.each(
        facts.select("trace_id", "start_us"), condition.columns, lambda rows: _looked_at(rows, matcher)
    )
    rows = pl.concat(pieces) if pieces else pl.DataFrame(schema=_SEEN)
    last = counted(rows, facts)
    matching = facts.join(last.filter("matches").select("trace_id"), on="trace_id", how="semi")
    return matching, facts.height - last.height


def counted(rows: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Of rows of the trace table, in the order in which they were written, the one of each fact that was
    counted: where rows are not dated, the last one that is like the fact, else the last one.

    ``rows`` have the columns of :func:`distinguishing`, ``facts`` :data:`COLUMNS`.
    """
    beside = rows.with_row_index("_written").join(
        facts.select(
            "trace_id",
            _start_us="start_us",
            _state="state",
            _duration_us="duration_us",
            _arrived_us="arrived_us",
        ),
        on="trace_id",
    )
    alike = (
        (pl.col("start_us") == pl.col("_start_us"))
        & (pl.col("state") == pl.col("_state"))
        & pl.col("duration_us").eq_missing(pl.col("_duration_us"))
    )
    order = (
        (pl.col("landed_us") == pl.col("_arrived_us")).fill_null(False),
        alike.fill_null(False),
        pl.col("landed_us").fill_null(-1),
        pl.col("start_us") + pl.col("duration_us").fill_null(0),
        pl.col("_written"),
    )
    last = beside.sort(order).unique("trace_id", keep="last", maintain_order=True)
    return last.select(rows.columns)


def _looked_at(rows: pa.Table, matcher: Matcher) -> pl.DataFrame:
    """What tells rows of the trace table apart, and whether each matches."""
    matches = np.zeros(rows.num_rows, dtype=bool)
    matches[matcher.hits(sound_columns(rows, matcher.columns))[0]] = True
    return distinguishing(rows).with_columns(matches=pl.Series(matches))


def sound_columns(rows: pa.Table, raw: Sequence[str]) -> pa.Table:
    """Raw columns of rows of the trace table, as the matcher takes them."""
    found = raw_table(rows, raw).combine_chunks()
    return pa.Table.from_batches([sound(one) for one in found.to_batches()], found.schema)


def distinguishing(rows: pa.Table) -> pl.DataFrame:
    """What tells rows of the trace table apart: ``trace_id``, ``start_us``, ``state``, ``duration_us``,
    ``landed_us``, as facts have them.
    """
    took_ms = pl.col("execution_duration_ms").cast(pl.Float64)
    took_us = (took_ms.clip(lower_bound=0) * 1000).round()
    usable = took_ms.is_finite() & (took_ms.abs() < LONGEST_TRACE_MS)
    return pl.DataFrame({name: _column(rows, name) for name in DISTINGUISHING}).select(
        "trace_id",
        start_us=pl.col("request_time").cast(pl.Int64),
        state=pl.col("state").cast(pl.String).fill_null("STATE_UNSPECIFIED"),
        duration_us=pl.when(usable).then(took_us).cast(pl.Int64),
        landed_us=pl.col("landed_us").cast(pl.Int64),
    )


def _column(rows: pa.Table, name: str) -> Any:
    kind = TRACES.field(name).type
    if name not in rows.column_names:
        return pa.nulls(rows.num_rows, kind)
    return rows[name] if pa.types.is_decimal(rows[name].type) else rows[name].cast(kind, safe=False)

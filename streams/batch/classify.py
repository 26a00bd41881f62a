"""What each incoming row is: ready to be compared with known facts, or one of the side outputs.

Side outputs are traces that are still in progress, rows that cannot be counted, traces that are too old, and
the labels that people gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from rules.units import LONGEST_TRACE_MS, MINUTE_US
from store.batches import is_backlog
from streams.batch.person_labels import LABELS

STATES = ("OK", "ERROR", "STATE_UNSPECIFIED", "IN_PROGRESS")
BREAKDOWN = ("span_keys", "span_sums", "usage_disagrees", "failure")
VALUES = (
    "trace_id",
    "experiment_id",
    "experiment",
    "group_by",
    "group",
    "start_us",
    "end_us",
    "state",
    "error",
    "duration_us",
    "tokens_input",
    "tokens_output",
    "tokens_total",
    "tokens_cache_read",
    "tokens_cache_write",
    "cost_nusd",
    "content_hash",
    "change_us",
    "arrived_us",
    "late",
    "hits",
    *BREAKDOWN,
)
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # of the years 1 to 9999


@dataclass(frozen=True)
class Classified:
    """Incoming rows by what is to be done with them.

    ``ready`` has :data:`VALUES`, ``left_out`` (an evaluation's own trace) and ``dated`` (the row says itself
    when it was written); ``labels`` has :data:`streams.batch.person_labels.LABELS`.
    """

    ready: pl.DataFrame
    in_progress: pl.DataFrame
    quarantined: pl.DataFrame
    expired: int
    labels: pl.DataFrame


def classify(
    incoming: pl.DataFrame,
    *,
    group_by: Sequence[str],
    now_us: int,
    horizon_us: int,
    verdicts_through_us: int,
    include_evaluation: bool,
    run_began_us: int | None = None,
) -> Classified:
    """Turn narrow rows (``streams.batch.match.NARROW`` plus ``arrived_us``) into values of facts and side
    outputs.
    """
    states = pl.col("state").fill_null("STATE_UNSPECIFIED")
    rows = incoming.with_columns(_refusal().alias("reason"), states.alias("state"))
    sound = rows.filter(pl.col("reason").is_null())
    waiting, old = pl.col("state") == "IN_PROGRESS", pl.col("start_us") < now_us - horizon_us
    finished = sound.filter(~waiting & ~old).with_columns(_left_out(include_evaluation).alias("left_out"))
    ready = (
        finished.with_columns(
            _duration_us().alias("duration_us"),
            (pl.col("state") == "ERROR").alias("error"),
            pl.lit(list(group_by), dtype=pl.List(pl.String)).alias("group_by"),
            pl.col("landed_us").is_not_null().alias("dated"),
        )
        .with_columns(_end_us().alias("end_us"))
        .with_columns((_is_judged(verdicts_through_us) & ~is_backlog(run_began_us)).alias("late"))
    )
    return Classified(
        ready=ready.select(*VALUES, "left_out", "dated"),
        in_progress=sound.filter(waiting).select("trace_id", "start_us"),
        quarantined=_quarantined(rows),
        expired=sound.filter(~waiting & old).height,
        labels=finished.filter(~pl.col("left_out")).select(LABELS),
    )


def _is_judged(verdicts_through_us: int) -> pl.Expr:
    """Whether the verdicts of a trace's minute were in."""
    return pl.col("end_us") // MINUTE_US * MINUTE_US + MINUTE_US <= verdicts_through_us


def _refusal() -> pl.Expr:
    """Why a row cannot be counted, null where it can."""
    return (
        pl.when(pl.col("trace_id").is_null() | (pl.col("trace_id") == ""))
        .then(pl.lit("no_trace_id"))
        .when(pl.col("start_us").is_null())
        .then(pl.lit("no_request_time"))
        .when(~pl.col("start_us").is_between(EARLIEST_US, LATEST_US))
        .then(pl.lit("request_time_out_of_range"))
        .when(~pl.col("state").fill_null("STATE_UNSPECIFIED").is_in(STATES))
        .then(pl.lit("unknown_state"))
        .otherwise(None)
    )


def _quarantined(rows: pl.DataFrame) -> pl.DataFrame:
    """Refused rows, and counted ones of which something stays unknown: tokens, cost or the duration."""
    refused = rows.filter(pl.col("reason").is_not_null()).with_columns(pl.lit("not counted").alias("detail"))
    sound = rows.filter(pl.col("reason").is_null())
    unclear = sound.filter(pl.col("json_error").is_not_null()).with_columns(
        pl.col("json_error").alias("reason"), pl.lit("counted; tokens or cost unknown").alias("detail")
    )
    odd = pl.col("duration_ms").is_not_null() & (~_is_usable() | (pl.col("duration_ms") < 0))
    untimed = sound.filter(odd).with_columns(
        pl.lit("duration_out_of_range").alias("reason"),
        pl.lit("counted; duration not as given").alias("detail"),
    )
    return pl.concat([refused, unclear, untimed]).select("trace_id", "reason", "detail", "arrived_us")


def _end_us() -> pl.Expr:
    """The end of a trace; that of one that goes on after the last day of the calendar is that day's."""
    return (pl.col("start_us") + pl.col("duration_us").fill_null(0)).clip(upper_bound=LATEST_US)


def _left_out(include_evaluation: bool) -> pl.Expr:
    """Whether a row is a trace of an evaluation run or of a judge, and those are not asked for."""
    if include_evaluation:
        return pl.lit(False)
    return (pl.col("source_run").fill_null("") != "") | (pl.col("judge").fill_null("") != "")


def _duration_us() -> pl.Expr:
    """The duration; negative is zero, and one that is no sensible number is unknown."""
    duration_us = (pl.col("duration_ms").clip(lower_bound=0) * 1000).round()
    return pl.when(_is_usable()).then(duration_us).otherwise(None).cast(pl.Int64)


def _is_usable() -> pl.Expr:
    """Whether the duration is a sensible number."""
    return pl.col("duration_ms").is_finite() & (pl.col("duration_ms").abs() < LONGEST_TRACE_MS)

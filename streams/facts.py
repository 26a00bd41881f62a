"""Which incoming rows become facts: repeats, amendments, expiry and taking back, as pure functions of frames.

A trace is known by its id and a content hash.  Of several contents the one with the latest change inside it stands; at
a tie the one that landed later, unless that content was seen before.  Everything else here is counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from store import net_facts

MINUTE_US = 60_000_000
SLACK_US = 3_600_000_000  # how far an amendment may move a trace's start and still be recognised
STATES = ("OK", "ERROR", "STATE_UNSPECIFIED", "IN_PROGRESS")
VALUES = (
    "trace_id", "experiment_id", "experiment", "group_by", "group", "start_us", "end_us", "state", "error",
    "duration_us", "tokens_input", "tokens_output", "tokens_total", "cost_nusd", "content_hash", "change_us",
    "arrived_us", "late", "hits",
)  # fmt: skip
COUNTERS = ("rows", "counted", "duplicates", "late", "amended", "expired", "left_out", "in_progress", "quarantined")


@dataclass(frozen=True)
class Sorted:
    """Incoming rows by what is to be done with them."""

    ready: pl.DataFrame
    in_progress: pl.DataFrame
    quarantined: pl.DataFrame
    expired: int


@dataclass(frozen=True)
class Resolved:
    """Rows for ``facts`` (``weight`` and :data:`VALUES`), and how many incoming rows went which way."""

    facts: pl.DataFrame
    counters: dict[str, int]


def sort_out(incoming: pl.DataFrame, *, group_by: str, now_us: int, horizon_us: int, verdicts_through_us: int,
             include_evaluation: bool) -> Sorted:  # fmt: skip
    """Turn narrow rows (``streams.match.NARROW`` plus ``arrived_us``) into values of facts, and part off the rest."""
    reason = (
        pl.when(pl.col("trace_id").is_null() | (pl.col("trace_id") == ""))
        .then(pl.lit("no_trace_id"))
        .when(pl.col("start_us").is_null())
        .then(pl.lit("no_request_time"))
        .when(~pl.col("state").fill_null("STATE_UNSPECIFIED").is_in(STATES))
        .then(pl.lit("unknown_state"))
        .otherwise(None)
    )
    told = incoming.with_columns(reason.alias("reason"), pl.col("state").fill_null("STATE_UNSPECIFIED"))
    refused = told.filter(pl.col("reason").is_not_null()).with_columns(pl.lit("not counted").alias("detail"))
    good = told.filter(pl.col("reason").is_null())
    # Broken token or cost JSON takes nothing from the count: those two stay unknown, and the row is shown all the same.
    odd = good.filter(pl.col("json_error").is_not_null()).with_columns(
        pl.col("json_error").alias("reason"), pl.lit("counted; tokens or cost unknown").alias("detail")
    )
    waiting = pl.col("state") == "IN_PROGRESS"
    old = pl.col("start_us") < now_us - horizon_us
    evaluated = (pl.col("source_run").fill_null("") != "") | (pl.col("judge").fill_null("") != "")
    micros = (pl.col("duration_ms").clip(lower_bound=0) * 1000).round()
    usable = pl.col("duration_ms").is_finite() & (pl.col("duration_ms").abs() < 1e14)
    ready = (
        good.filter(~waiting & ~old)
        .with_columns(
            pl.when(usable).then(micros).otherwise(None).cast(pl.Int64).alias("duration_us"),
            (pl.col("state") == "ERROR").alias("error"),
            pl.lit(group_by).alias("group_by"),
            (evaluated & pl.lit(not include_evaluation)).alias("left_out"),
        )
        .with_columns((pl.col("start_us") + pl.col("duration_us").fill_null(0)).alias("end_us"))
        .with_columns((pl.col("end_us") // MINUTE_US * MINUTE_US + MINUTE_US <= verdicts_through_us).alias("late"))
        .select(*VALUES, "left_out")
    )
    return Sorted(
        ready=ready,
        in_progress=good.filter(waiting).select("trace_id", "start_us"),
        quarantined=pl.concat([refused, odd]).select("trace_id", "reason", "detail", "arrived_us"),
        expired=good.filter(~waiting & old).height,
    )


def resolve(incoming: pl.DataFrame, known: pl.DataFrame) -> Resolved:
    """Compare the rows of a batch (:data:`VALUES` and ``left_out``) with the facts of other batches about their traces.

    ``known`` is every fact, of either weight, of the traces in ``incoming``, but those that this batch wrote itself.
    """
    latest, same, collapsed = _collapse(incoming)
    now_standing = net_facts(known)
    standing = now_standing.select("trace_id", _change="change_us", _hash="content_hash")
    seen = known.filter(pl.col("weight") > 0).select("trace_id", "change_us", "content_hash").unique()
    seen = seen.with_columns(pl.lit(True).alias("_seen"))
    joined = latest.join(standing, on="trace_id", how="left").join(seen, on=["trace_id", "change_us", "content_hash"], how="left")
    newer = pl.col("change_us") > pl.col("_change")
    tie = (pl.col("change_us") == pl.col("_change")) & pl.col("_seen").is_null()
    differs = pl.col("content_hash") != pl.col("_hash")
    what = (
        pl.when(pl.col("_hash").is_null())
        .then(pl.lit("new"))
        .when(differs & (newer | tie))
        .then(pl.lit("amends"))
        .otherwise(pl.lit("repeat"))
    )
    marked = joined.with_columns(what.alias("_what"))
    fresh = marked.filter((pl.col("_what") == "new") & ~pl.col("left_out"))
    amends = marked.filter(pl.col("_what") == "amends")
    replaces = amends.filter(~pl.col("left_out"))
    withdrawn = now_standing.join(amends.select("trace_id"), on="trace_id", how="semi")
    facts = pl.concat([_weighted(withdrawn, -1), _weighted(fresh, 1), _weighted(replaces, 1)])
    repeats = marked.filter(pl.col("_what") == "repeat").height
    return Resolved(
        facts,
        {
            "counted": fresh.height,
            "duplicates": same + repeats,
            "amended": amends.height + collapsed,
            "late": fresh.filter("late").height + replaces.filter("late").height,
            "left_out": marked.filter((pl.col("_what") != "repeat") & pl.col("left_out")).height,
        },
    )


def _weighted(frame: pl.DataFrame, weight: int) -> pl.DataFrame:
    return frame.select(*VALUES, pl.lit(weight, dtype=pl.Int8).alias("weight"))


def _collapse(incoming: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """One row a trace: that which stands; how many rows had its very content, and how many other contents it beat."""
    distinct = incoming.sort("arrived_us").unique(["trace_id", "content_hash", "change_us"], keep="first", maintain_order=True)
    ordered = distinct.sort("trace_id", "change_us", "arrived_us", "content_hash")
    latest = ordered.unique("trace_id", keep="last", maintain_order=True)
    return latest, incoming.height - distinct.height, distinct.height - latest.height


def known_where(traces: pl.Series, starts: pl.Series, not_in: tuple[str, int]) -> pl.Expr:
    """The filter on ``facts`` that finds what is known of these traces, pruned by start time."""
    low, high = starts.min(), starts.max()
    if not isinstance(low, int) or not isinstance(high, int):
        return pl.lit(False)
    own = (pl.col("stream_id") == not_in[0]) & (pl.col("batch_id") == not_in[1])
    around = pl.col("start_us").is_between(low - SLACK_US, high + SLACK_US)
    return around & ~own & pl.col("trace_id").is_in(traces.unique().implode())


def totals(counters: Sequence[dict[str, int]]) -> dict[str, int]:
    """Sum counters by name over :data:`COUNTERS`; a name that is absent counts zero."""
    return {name: sum(part.get(name, 0) for part in counters) for name in COUNTERS}

"""Which incoming rows become facts: repeats, amendments, expiry and taking back, as pure functions of frames.

A trace is known by its id and a content hash.  Of several contents the one with the latest change inside it
stands; at a tie the one that was written later: by the row's own ``landed_us`` where it has one (``dated``),
else by the order of commits, in which a content that was seen before is a repeat.  Everything else here is
counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from rules.units import HOUR_US, MINUTE_US
from store import net_facts
from streams.batch.person_labels import SAID

SLACK_US = HOUR_US  # how far an amendment may move a trace's start and still be recognised
LEFT_OUT, SEEN = "LEFT_OUT", "SEEN"  # what ``state`` says in a row of weight 0
STATES = ("OK", "ERROR", "STATE_UNSPECIFIED", "IN_PROGRESS")
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
    "cost_nusd",
    "content_hash",
    "change_us",
    "arrived_us",
    "late",
    "hits",
)
COUNTERS = (
    "rows",
    "counted",
    "duplicates",
    "late",
    "amended",
    "expired",
    "left_out",
    "in_progress",
    "quarantined",
    "deleted",
)


@dataclass(frozen=True)
class Classified:
    """Incoming rows by what is to be done with them."""

    ready: pl.DataFrame
    in_progress: pl.DataFrame
    quarantined: pl.DataFrame
    expired: int
    said: pl.DataFrame  # streams.batch.person_labels.SAID


@dataclass(frozen=True)
class Resolved:
    """Rows for ``facts`` (``weight`` and :data:`VALUES`), and how many incoming rows went which way."""

    facts: pl.DataFrame
    counters: dict[str, int]


def classify(
    incoming: pl.DataFrame,
    *,
    group_by: Sequence[str],
    now_us: int,
    horizon_us: int,
    verdicts_through_us: int,
    include_evaluation: bool,
) -> Classified:
    """Turn narrow rows (``streams.batch.match.NARROW`` plus ``arrived_us``) into values of facts, and part
    off the rest.
    """
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
    # Broken token or cost JSON takes nothing from the count: those two stay unknown, and the row is shown all
    # the same.
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
            pl.lit(list(group_by), dtype=pl.List(pl.String)).alias("group_by"),
            (evaluated & pl.lit(not include_evaluation)).alias("left_out"),
            pl.col("landed_us").is_not_null().alias("dated"),
        )
        .with_columns((pl.col("start_us") + pl.col("duration_us").fill_null(0)).alias("end_us"))
        .with_columns(
            (pl.col("end_us") // MINUTE_US * MINUTE_US + MINUTE_US <= verdicts_through_us).alias("late")
        )
        .select(*VALUES, "left_out", "dated")
    )
    return Classified(
        ready=ready,
        in_progress=good.filter(waiting).select("trace_id", "start_us"),
        quarantined=pl.concat([refused, odd]).select("trace_id", "reason", "detail", "arrived_us"),
        expired=good.filter(~waiting & old).height,
        said=good.filter(~waiting & ~old & ~(evaluated & pl.lit(not include_evaluation))).select(SAID),
    )


def resolve(incoming: pl.DataFrame, known: pl.DataFrame) -> Resolved:
    """Compare the rows of a batch (:data:`VALUES`, ``left_out`` and ``dated``) with the facts about their
    traces.

    ``known`` is every fact, of any weight, of the traces in ``incoming``, but those that this batch wrote
    itself.  The outcome is what it would be had the rows come one by one, in any split into batches: hence
    the rows of weight 0.
    """
    ids = incoming["trace_id"]
    new = ids.is_unique() & ~ids.is_in(known["trace_id"].unique().implode())
    first, again = _first_seen(incoming.filter(new)), _compared(incoming.filter(~new), known)
    counters = {name: first.counters.get(name, 0) + value for name, value in again.counters.items()}
    return Resolved(pl.concat([again.facts, first.facts]), counters)


def _first_seen(rows: pl.DataFrame) -> Resolved:
    """Rows of which each is all that is known of its trace: nearly all of a backfill, which need no
    comparing.
    """
    counts, out = rows.filter(~pl.col("left_out")), rows.filter("left_out")
    facts = pl.concat([_weighted(counts, 1), _weighted(_told_apart(out), 0)])
    return Resolved(
        facts, {"counted": counts.height, "late": counts.filter("late").height, "left_out": out.height}
    )


def _compared(incoming: pl.DataFrame, known: pl.DataFrame) -> Resolved:
    standing = net_facts(known)
    rows = _distinct(incoming)
    seen = known.select("trace_id", "content_hash").unique().with_columns(pl.lit(True).alias("_seen"))
    told = rows.join(_heads(known, standing, rows), on="trace_id", how="left").join(
        seen, on=["trace_id", "content_hash"], how="left", nulls_equal=True
    )
    told = told.with_columns(_takes_over().alias("_takes"))
    able = told.filter("_takes").sort("trace_id", "change_us", "arrived_us", "content_hash")
    wins = able.unique("trace_id", keep="last", maintain_order=True)
    lost = able.join(
        wins.select("trace_id", "content_hash"), on=["trace_id", "content_hash"], how="anti", nulls_equal=True
    )
    withdrawn = standing.join(wins.select("trace_id"), on="trace_id", how="semi")
    counts = wins.filter(~pl.col("left_out"))
    amends = wins.join(standing.select("trace_id"), on="trace_id", how="semi").height
    facts = [_weighted(withdrawn, -1), _weighted(counts, 1), _weighted(_remembered(told, wins, lost), 0)]
    return Resolved(
        pl.concat(facts),
        {
            "counted": counts.join(standing.select("trace_id"), on="trace_id", how="anti").height,
            "duplicates": incoming.height - able.height,
            "amended": amends + lost.height,
            "late": counts.filter("late").height,
            "left_out": wins.filter("left_out").height,
        },
    )


def _distinct(incoming: pl.DataFrame) -> pl.DataFrame:
    """One row a content.  A row that says itself when it was written counts from its last writing, another
    from its first.
    """
    order = pl.when("dated").then("arrived_us").otherwise(-pl.col("arrived_us"))
    return incoming.sort(order).unique(["trace_id", "content_hash"], keep="last", maintain_order=True)


def _heads(known: pl.DataFrame, standing: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """By trace the content that a newcomer has to beat: the one that stands, else the one for which it was
    left out.

    ``_written`` is when the facts say it was last written, ``_arrived`` the same with the rows of this batch.
    """
    out = known.filter((pl.col("weight") == 0) & (pl.col("state") == LEFT_OUT)).join(
        standing, on="trace_id", how="anti"
    )
    out = out.sort("change_us", "arrived_us", "content_hash").unique(
        "trace_id", keep="last", maintain_order=True
    )
    heads = pl.concat(
        [frame.select("trace_id", "change_us", "content_hash", "state") for frame in (standing, out)]
    )
    key = ["trace_id", "content_hash"]
    before = known.group_by(key).agg(_written=pl.col("arrived_us").max())
    present = rows.filter("dated").select(*key, _present="arrived_us")
    heads = heads.join(before, on=key, how="left", nulls_equal=True).join(
        present, on=key, how="left", nulls_equal=True
    )
    return heads.select(
        "trace_id",
        "_written",
        _arrived=pl.max_horizontal("_written", "_present"),
        _change="change_us",
        _hash="content_hash",
        _out=pl.col("state") == LEFT_OUT,
    )


def _takes_over() -> pl.Expr:
    """Whether a row, compared with its trace's head, may stand in its place (SEMANTICS 2)."""
    differs = pl.col("content_hash") != pl.col("_hash")
    later = (pl.col("arrived_us") > pl.col("_arrived")) | (
        (pl.col("arrived_us") == pl.col("_arrived")) & (pl.col("content_hash") > pl.col("_hash"))
    )
    tie = (pl.col("change_us") == pl.col("_change")) & pl.when("dated").then(later).otherwise(
        pl.col("_seen").is_null()
    )
    turned = ~differs & (
        pl.col("left_out") != pl.col("_out")
    )  # `include_evaluation` was changed, and the source re-read
    return pl.col("_hash").is_null() | turned | (differs & ((pl.col("change_us") > pl.col("_change")) | tie))


def _remembered(told: pl.DataFrame, wins: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """Contents that do not stand but must be known again: left out, beaten at a tie, or written once more."""
    at_tie = lost.filter(~pl.col("dated")).join(
        wins.select("trace_id", "change_us"), on=["trace_id", "change_us"], how="semi"
    )
    again = told.filter(pl.col("dated") & (pl.col("content_hash") == pl.col("_hash")) & ~pl.col("_takes"))
    again = again.filter(pl.col("arrived_us") > pl.col("_written"))
    return _told_apart(pl.concat([wins.filter("left_out"), at_tie, again]))


def _told_apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that count for nothing, by their state."""
    state = pl.when("left_out").then(pl.lit(LEFT_OUT)).otherwise(pl.lit(SEEN))
    return rows.with_columns(state.alias("state"), pl.col("hits").list.head(0))


def _weighted(frame: pl.DataFrame, weight: int) -> pl.DataFrame:
    return frame.select(*VALUES, pl.lit(weight, dtype=pl.Int8).alias("weight"))


def known_where(traces: pl.Series | None, starts: pl.Series, not_in: tuple[str, int]) -> pl.Expr:
    """The filter on ``facts`` that finds what is known of these traces (None: of any), pruned by start
    time.
    """
    low, high = starts.min(), starts.max()
    if not isinstance(low, int) or not isinstance(high, int):
        return pl.lit(False)
    own = (pl.col("stream_id") == not_in[0]) & (pl.col("batch_id") == not_in[1])
    around = pl.col("start_us").is_between(low - SLACK_US, high + SLACK_US)
    return (
        around & ~own
        if traces is None
        else around & ~own & pl.col("trace_id").is_in(traces.unique().implode())
    )


def totals(counters: Sequence[dict[str, int]]) -> dict[str, int]:
    """Sum counters by name over :data:`COUNTERS`; a name that is absent counts zero."""
    return {name: sum(part.get(name, 0) for part in counters) for name in COUNTERS}

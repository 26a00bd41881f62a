"""Which rows become facts: repeats, amendments and taking back, as pure functions of frames.

A trace is known by its id and a content hash.  Of several contents the one with the latest change inside it
stands; at a tie the one that was written later: by the row's own ``landed_us`` where it has one (``dated``),
else by the order of commits, in which a content that was seen before is a repeat.  Everything else here is
counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from rules.units import HOUR_US
from store import net_facts
from store.batches import is_backlog
from streams.batch.classify import BREAKDOWN, VALUES

SLACK_US = HOUR_US  # how far an amendment may move a trace's start and still be recognised
_CONTENT = ("trace_id", "content_hash")
LEFT_OUT, SEEN = "LEFT_OUT", "SEEN"  # what ``state`` says in a row of weight 0
COUNTERS = (
    "rows",
    "counted",
    "duplicates",
    "late",
    "backlog",
    "amended",
    "expired",
    "left_out",
    "in_progress",
    "quarantined",
    "deleted",
)


@dataclass(frozen=True)
class Resolved:
    """Rows for ``facts`` (``weight`` and :data:`VALUES`), and how many incoming rows went which way."""

    facts: pl.DataFrame
    counters: dict[str, int]


def resolve(incoming: pl.DataFrame, known: pl.DataFrame, run_began_us: int | None = None) -> Resolved:
    """Compare the rows of a batch (:data:`VALUES`, ``left_out`` and ``dated``) with the facts about their
    traces.

    ``known`` is every fact, of any weight, of the traces in ``incoming``, but those that this batch wrote
    itself.  The outcome is what it would be had the rows come one by one, in any split into batches: hence
    the rows of weight 0.
    """
    ids = incoming["trace_id"]
    new = ids.is_unique() & ~ids.is_in(known["trace_id"].unique().implode())
    backlog = is_backlog(run_began_us)
    first = _first_seen(incoming.filter(new), backlog)
    again = _compared(incoming.filter(~new), known, backlog)
    counters = {name: first.counters.get(name, 0) + value for name, value in again.counters.items()}
    return Resolved(pl.concat([again.facts, first.facts]), counters)


def _first_seen(rows: pl.DataFrame, backlog: pl.Expr) -> Resolved:
    """Rows of which each is all that is known of its trace: nearly all of a backfill, which need no
    comparing.
    """
    counted, out = rows.filter(~pl.col("left_out")), rows.filter("left_out")
    facts = pl.concat([_weighted(counted, 1), _weighted(_uncounted(out), 0)])
    return Resolved(facts, {**_counters(counted, backlog), "left_out": out.height})


def _counters(new: pl.DataFrame, backlog: pl.Expr) -> dict[str, int]:
    """What is counted of new traces; an amendment is none."""
    late = new.filter("late").height
    return {"counted": new.height, "late": late, "backlog": new.filter(backlog).height}


def _compared(incoming: pl.DataFrame, known: pl.DataFrame, backlog: pl.Expr) -> Resolved:
    """Rows of traces that are known already, or that come more than once in this batch."""
    standing = net_facts(known)
    rows = _with_current(_distinct(incoming), known, standing)
    newer = rows.filter("_supersedes").sort("trace_id", "change_us", "arrived_us", "content_hash")
    winners = newer.unique("trace_id", keep="last", maintain_order=True)
    passed = newer.join(winners.select(_CONTENT), on=_CONTENT, how="anti", nulls_equal=True)
    withdrawn = standing.join(winners.select("trace_id"), on="trace_id", how="semi")
    counted = winners.filter(~pl.col("left_out"))
    uncounted = _uncounted(_remembered(rows, winners, passed))
    amended = winners.join(standing.select("trace_id"), on="trace_id", how="semi").height
    return Resolved(
        pl.concat([_weighted(withdrawn, -1), _weighted(counted, 1), _weighted(uncounted, 0)]),
        {
            **_counters(counted.join(standing.select("trace_id"), on="trace_id", how="anti"), backlog),
            "duplicates": incoming.height - newer.height,
            "amended": amended + passed.height,
            "left_out": winners.filter("left_out").height,
        },
    )


def _distinct(incoming: pl.DataFrame) -> pl.DataFrame:
    """One row a content.  A row that says itself when it was written counts from its last writing, another
    from its first.
    """
    order = pl.when("dated").then("arrived_us").otherwise(-pl.col("arrived_us"))
    return incoming.sort(order).unique(_CONTENT, keep="last", maintain_order=True)


def _with_current(rows: pl.DataFrame, known: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """The rows beside the current content of their traces, and whether they supersede it."""
    seen = known.select(_CONTENT).unique().with_columns(pl.lit(True).alias("_seen"))
    current = _current_contents(known, standing, rows)
    beside = rows.join(current, on="trace_id", how="left").join(
        seen, on=_CONTENT, how="left", nulls_equal=True
    )
    return beside.with_columns(_supersedes().alias("_supersedes"))


def _current_contents(known: pl.DataFrame, standing: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """By trace the content that a new one has to beat: the one that stands, else the one for which the trace
    was left out.

    ``_written`` is when the facts say it was last written, ``_arrived`` the same with the rows of this batch.
    """
    out = known.filter((pl.col("weight") == 0) & (pl.col("state") == LEFT_OUT))
    out = (
        out.join(standing, on="trace_id", how="anti")
        .sort("change_us", "arrived_us", "content_hash")
        .unique("trace_id", keep="last", maintain_order=True)
    )
    current = pl.concat([frame.select(*_CONTENT, "change_us", "state") for frame in (standing, out)])
    written = known.group_by(_CONTENT).agg(_written=pl.col("arrived_us").max())
    present = rows.filter("dated").select(*_CONTENT, _present="arrived_us")
    for times in (written, present):
        current = current.join(times, on=_CONTENT, how="left", nulls_equal=True)
    return current.select(
        "trace_id",
        "_written",
        _arrived=pl.max_horizontal("_written", "_present"),
        _change="change_us",
        _hash="content_hash",
        _out=pl.col("state") == LEFT_OUT,
    )


def _supersedes() -> pl.Expr:
    """Whether a row may stand in the place of its trace's current content (SEMANTICS 2)."""
    differs = pl.col("content_hash") != pl.col("_hash")
    later = (pl.col("arrived_us") > pl.col("_arrived")) | (
        (pl.col("arrived_us") == pl.col("_arrived")) & (pl.col("content_hash") > pl.col("_hash"))
    )
    tie = (pl.col("change_us") == pl.col("_change")) & pl.when("dated").then(later).otherwise(
        pl.col("_seen").is_null()
    )
    # The same content counts anew where `include_evaluation` was changed and the source is read again.
    turned = ~differs & (pl.col("left_out") != pl.col("_out"))
    return pl.col("_hash").is_null() | turned | (differs & ((pl.col("change_us") > pl.col("_change")) | tie))


def _remembered(rows: pl.DataFrame, winners: pl.DataFrame, passed: pl.DataFrame) -> pl.DataFrame:
    """Contents that do not stand but must be known again: left out, beaten at a tie, or written once more."""
    same_change = winners.select("trace_id", "change_us")
    at_tie = passed.filter(~pl.col("dated")).join(same_change, on=["trace_id", "change_us"], how="semi")
    again = rows.filter(
        pl.col("dated")
        & (pl.col("content_hash") == pl.col("_hash"))
        & ~pl.col("_supersedes")
        & (pl.col("arrived_us") > pl.col("_written"))
    )
    return pl.concat([winners.filter("left_out"), at_tie, again])


def _uncounted(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that count for nothing: their state says why, and they have no hits."""
    state = pl.when("left_out").then(pl.lit(LEFT_OUT)).otherwise(pl.lit(SEEN))
    return rows.with_columns(
        state.alias("state"), pl.col("hits").list.head(0), *(pl.lit(None).alias(name) for name in BREAKDOWN)
    )


def _weighted(frame: pl.DataFrame, weight: int) -> pl.DataFrame:
    return frame.select(*VALUES, pl.lit(weight, dtype=pl.Int8).alias("weight"))


def known_where(traces: pl.Series | None, starts: pl.Series, own: pl.Expr) -> pl.Expr:
    """The filter on ``facts`` that finds what other batches say of these traces (None: of any), pruned by
    start time; ``own`` finds the batch's own rows.
    """
    low, high = starts.min(), starts.max()
    if not isinstance(low, int) or not isinstance(high, int):
        return pl.lit(False)
    found = pl.col("start_us").is_between(low - SLACK_US, high + SLACK_US) & ~own
    return found if traces is None else found & pl.col("trace_id").is_in(traces.unique().implode())


def totals(counters: Sequence[dict[str, int]]) -> dict[str, int]:
    """Sum counters by name over :data:`COUNTERS`; a name that is absent counts zero."""
    return {name: sum(part.get(name, 0) for part in counters) for name in COUNTERS}

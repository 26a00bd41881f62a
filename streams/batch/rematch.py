"""The facts that stand beside what rules say of their traces now, as a pure function of frames.

A trace is compared only where the source still has the content that stands: a trace that is gone keeps its
fact, and a content that was not counted yet is left to the stream (SEMANTICS 31).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from streams.batch.classify import BREAKDOWN, VALUES

_CONTENT = ["trace_id", "content_hash"]


@dataclass(frozen=True)
class Rematched:
    """Rows for ``facts`` (``weight`` and :data:`streams.batch.classify.VALUES`) and how many traces went
    which way.

    ``rules`` are counts of traces by rule id: before, after, gained, lost.
    """

    facts: pl.DataFrame
    traces: int
    changed: int
    regrouped: int
    gone: int
    uncounted: int
    rules: Mapping[str, Mapping[str, int]]


def rematched(
    standing: pl.DataFrame,
    rows: pl.DataFrame,
    *,
    ids: Sequence[str],
    only: Collection[str],
    group_by: Sequence[str],
) -> Rematched:
    """Compare standing facts (net) with narrow rows of the trace table (``streams.batch.match.NARROW``).

    ``ids`` are the rules in force in their order, ``only`` the rules that are applied (none: all); hits of
    others stay. A trace whose hits and group stay as they are gives no row, unless its fact lacks a
    breakdown (an older program wrote it), which it then gets; it does not count as changed.
    """
    present = _latest(rows).select(
        *_CONTENT, *(pl.col(name).alias(f"_{name}") for name in ("hits", "group", *BREAKDOWN))
    )
    beside = standing.join(present, on=_CONTENT, how="left", nulls_equal=True)
    found = beside.filter(pl.col("_hits").is_not_null())
    missing = beside.filter(pl.col("_hits").is_null())
    uncounted = missing.join(rows.select("trace_id").unique(), on="trace_id", how="semi").height
    applied = _applied(found, ids, only)
    lacking = pl.col("span_sums").is_null() & pl.col("_span_sums").is_not_null()
    grouped = pl.lit(list(group_by), dtype=pl.List(pl.String))
    regrouped = (pl.col("group_by") != grouped) | (pl.col("group") != pl.col("_group"))
    differ = regrouped | (_names("hits", "hash") != _names("_hits", "hash"))
    changed = applied.filter(differ)
    written = applied.filter(differ | lacking)
    breakdown = [
        pl.when(lacking).then(pl.col(f"_{name}")).otherwise(pl.col(name)).alias(name) for name in BREAKDOWN
    ]
    new = written.with_columns(*breakdown, hits=pl.col("_hits"), group_by=grouped, group=pl.col("_group"))
    facts = [
        frame.select(*VALUES, pl.lit(weight, dtype=pl.Int8).alias("weight"))
        for frame, weight in ((written, -1), (new, 1))
    ]
    after = [new.select("trace_id", "hits")]
    after.append(standing.join(written, on="trace_id", how="anti").select("trace_id", "hits"))
    return Rematched(
        facts=pl.concat(facts),
        traces=standing.height,
        changed=changed.height,
        regrouped=changed.filter(regrouped).height,
        gone=missing.height - uncounted,
        uncounted=uncounted,
        rules=_counts(standing.select("trace_id", "hits"), pl.concat(after), only),
    )


def _latest(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a content: the one that was landed last, as `explain` reads it."""
    return rows.sort("landed_us", "file", nulls_last=False).unique(_CONTENT, keep="last", maintain_order=True)


def _applied(found: pl.DataFrame, ids: Sequence[str], only: Collection[str]) -> pl.DataFrame:
    """``_hits`` with the hits of rules that are not applied as they were, in the order of the rules."""
    if not only:
        return found
    named = pl.element().struct.field("rule")
    old = pl.col("hits").list.filter(~named.is_in(list(only)))
    new = pl.col("_hits").list.filter(named.is_in(list(only)))
    place = named.replace_strict(
        {name: number for number, name in enumerate(ids)}, default=len(ids), return_dtype=pl.Int64
    )
    both = old.list.concat(new).list.eval(pl.element().sort_by(place, maintain_order=True))
    return found.with_columns(_hits=both)


def _names(column: str, field: str) -> pl.Expr:
    """One field of the hits, sorted: in which order they stand makes no difference."""
    return pl.col(column).list.eval(pl.element().struct.field(field)).list.sort()


def _counts(before: pl.DataFrame, after: pl.DataFrame, only: Collection[str]) -> dict[str, dict[str, int]]:
    pairs = [_pairs(frame) for frame in (before, after)]
    gained = pairs[1].join(pairs[0], on=["trace_id", "rule"], how="anti")
    lost = pairs[0].join(pairs[1], on=["trace_id", "rule"], how="anti")
    found: dict[str, dict[str, int]] = {}
    for name, frame in zip(("before", "after", "gained", "lost"), (*pairs, gained, lost), strict=True):
        for rule, number in frame.group_by("rule").len().iter_rows():
            if not only or rule in only:
                entry = found.setdefault(rule, dict.fromkeys(("before", "after", "gained", "lost"), 0))
                entry[name] = number
    return dict(sorted(found.items()))


def _pairs(frame: pl.DataFrame) -> pl.DataFrame:
    exploded = frame.filter(pl.col("hits").list.len() > 0).explode("hits")
    return exploded.select("trace_id", rule=pl.col("hits").struct.field("rule")).unique()

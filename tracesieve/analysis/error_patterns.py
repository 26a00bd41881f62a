"""Error patterns of a range of time: how often each occurred, since when, and whether it is new.

A pattern is what the messages of failures have in common (rules/failures). Facts hold the fingerprint of
each failure's own pattern; those that are alike are merged here, over everything that facts still hold, under
the fingerprint that was seen first, so that a pattern keeps its name and history when one more variant of it
turns up. Failures of different types are never merged.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import pyarrow as pa

from rules.failures import FAILURE_KEYS, masked, merged_patterns
from store import NETTED, Store, net_facts
from tracesieve.analysis.report_steps import STEP, Steps
from tracesieve.json_output import iso

SAMPLES: Final = 3
_COLUMNS = (*NETTED, "end_us", "error", "failure")
_FAILURE = pl.Struct({key: pl.Boolean if key == "handled" else pl.String for key in FAILURE_KEYS})
_KEPT = ("trace_id", "end_us", *FAILURE_KEYS)
_NAMED = ("error_type", "span_type", "span_name")
NEW, ONGOING, BACK = "new", "ongoing", "back"


def failures_until(store: Store, to_us: int, *more: str) -> pl.DataFrame:
    """The failures of all traces that ended before then and stand: ``trace_id``, ``end_us``, the keys of a
    failure, the ``merged`` pattern and its ``text``; and these columns of facts too.
    """
    where = (pl.col("end_us") < to_us) & pl.col("failure").is_not_null()
    facts = net_facts(store.table("facts").read([*_COLUMNS, *more], where))
    decoded = facts.with_columns(pl.col("failure").str.json_decode(_FAILURE)).unnest("failure")
    decoded = decoded.select(*_KEPT, *more)
    return decoded.join(_merged(decoded), on="pattern", how="left")


def has_history(store: Store, from_us: int) -> bool:
    """Whether facts reach back before the range."""
    return store.table("facts").read(["end_us"], pl.col("end_us") < from_us).height > 0


def error_patterns(
    failures: pl.DataFrame, inside: pl.DataFrame, steps: Steps, errors: int, *, history: bool
) -> dict[str, Any]:
    """``error_patterns``, a row each, the most frequent first, and ``failures``: how many traces failed
    (``failed``), how many ended well all the same (``handled``), and of how many of the ``errors`` failed
    traces the failure is not known (``unknown``: an older version counted them).

    A row has the ``pattern`` (a stable fingerprint), its ``text``, ``error_type``, ``span_type`` and
    ``span_name``, ``traces`` and of them ``handled``, ``share`` of all failures, ``trend`` (traces by step of
    the range), ``traces_before`` in the time of the same length before the range, ``first_seen`` and
    ``last_seen``, ``variants`` that were merged, newest ``samples``, and ``state``: ``new`` (never seen
    before the range), ``back`` (not seen in the time before it), else ``ongoing``; null without ``history``,
    where facts do not reach back before the range.

    ``failures`` are all (:func:`failures_until`), ``inside`` those of the range with :data:`STEP`: with a
    condition, those that it matches; what was before is of all traces.
    """
    rows = _of_range(inside).join(_of_past(failures, steps), on="merged", how="left")
    trends = _trends(inside, steps)
    found = [
        {**_row(row, inside.height, history), "trend": trends[row["merged"]]}
        for row in rows.iter_rows(named=True)
    ]
    handled = int(inside["handled"].sum() or 0)
    failed = inside.height - handled
    return {
        "error_patterns": sorted(found, key=lambda row: (-row["traces"], row["pattern"])),
        "failures": {"failed": failed, "handled": handled, "unknown": max(errors - failed, 0)},
    }


def _merged(facts: pl.DataFrame) -> pl.DataFrame:
    """For each ``pattern`` of facts the ``merged`` one it belongs to, and its ``text``."""
    kinds = facts.group_by("pattern").agg(pl.col("error_type", "message", "end_us").min())
    own = pl.Series(masked(kinds["message"].to_arrow().cast(pa.string())).to_pylist(), dtype=pl.String)
    kinds = kinds.with_columns(own=own)
    texts = [
        part.with_columns(text=pl.col("own").replace_strict(merged_patterns(part["own"].to_list())))
        for _, part in kinds.group_by("error_type")
    ]
    if not texts:
        return kinds.select("pattern", merged="pattern", text="own")
    named = pl.concat(texts)
    oldest = pl.col("pattern").sort_by("end_us", "pattern").first()
    first = named.group_by("error_type", "text").agg(merged=oldest)
    return named.join(first, on=["error_type", "text"]).select("pattern", "merged", "text")


def _of_range(inside: pl.DataFrame) -> pl.DataFrame:
    """What each merged pattern comes to in the range."""
    newest = inside.sort("end_us", "trace_id", descending=True).group_by("merged", maintain_order=True)
    found = newest.agg(
        pl.col("text").first(),
        pl.len().alias("traces"),
        pl.col("handled").sum().cast(pl.Int64),
        pl.col("end_us").max().alias("last_us"),
        pl.col("pattern").n_unique().alias("variants"),
        pl.col("trace_id").head(SAMPLES).alias("samples"),
    )
    for name in _NAMED:
        found = found.join(_most_common(inside, name), on="merged", how="left")
    return found


def _most_common(inside: pl.DataFrame, name: str) -> pl.DataFrame:
    counted = inside.filter(pl.col(name).is_not_null()).group_by("merged", name).len()
    order = counted.sort("len", name, descending=[True, False])
    return order.unique("merged", keep="first", maintain_order=True).drop("len")


def _of_past(failures: pl.DataFrame, steps: Steps) -> pl.DataFrame:
    """Since when each merged pattern is known, and how often it was seen before the range and just before."""
    before = pl.col("end_us") < steps.from_us
    lately = before & (pl.col("end_us") >= 2 * steps.from_us - steps.to_us)
    return failures.group_by("merged").agg(
        pl.col("end_us").min().alias("first_us"), before.sum().alias("before"), lately.sum().alias("lately")
    )


def _trends(inside: pl.DataFrame, steps: Steps) -> dict[str, list[int]]:
    found = {name: [0] * steps.number for name in inside["merged"].unique()}
    for name, step, number in inside.group_by("merged", STEP).len().iter_rows():
        found[name][step] = number
    return found


def _row(row: dict[str, Any], failures: int, history: bool) -> dict[str, Any]:
    state = NEW if not row["before"] else ONGOING if row["lately"] else BACK
    return {
        "pattern": row["merged"],
        **{name: row[name] for name in ("text", *_NAMED, "traces", "handled")},
        "share": row["traces"] / failures,
        "traces_before": row["lately"] if history else None,
        "first_seen": iso(row["first_us"]),
        "last_seen": iso(row["last_us"]),
        "state": state if history else None,
        "variants": row["variants"],
        "samples": row["samples"],
    }

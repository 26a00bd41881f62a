"""Error patterns of a range of time: how often each occurred, since when, and whether it is new.

A pattern is what the messages of failures have in common (rules/failures). Facts hold the fingerprint of
each failure's own pattern; those that are alike are merged here, over everything that facts still hold, under
the fingerprint that was seen first, so that a pattern keeps its name and history when one more variant of it
turns up. Failures of different types are never merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import pyarrow as pa

from rules.failures import FAILURE_KEYS, masked, merged_patterns
from rules.units import parse_time_us, readable_time
from store import NETTED, Store, net_facts
from tracesieve.json_output import iso
from tracesieve.terminal import fitted, plain, wrapped

SAMPLES: Final = 3
_SHOWN = 10
_LONGEST_TEXT = 150
_COLUMNS = (*NETTED, "end_us", "error", "failure")
_FAILURE = pl.Struct({key: pl.Boolean if key == "handled" else pl.String for key in FAILURE_KEYS})
NEW, ONGOING, BACK = "new", "ongoing", "back"


def error_patterns(store: Store, from_us: int, to_us: int, errors: int) -> dict[str, Any]:
    """``error_patterns``, a row each, the most frequent first, and ``failures``: how many traces failed
    (``failed``), how many ended well all the same (``handled``), and of how many of the ``errors`` failed
    traces the failure is not known (``unknown``: an older version counted them).

    A row has the ``pattern`` (a stable fingerprint), its ``text``, ``error_type``, ``span_type`` and
    ``span_name``, ``traces`` and of them ``handled``, ``share`` of all failures, ``traces_before`` in the
    time of the same length before the range, ``first_seen`` and ``last_seen``, ``variants`` that were merged,
    newest ``samples``, and ``state``: ``new`` (never seen before the range), ``back`` (not seen in the time
    before it), else ``ongoing``; null where facts do not reach back before the range.
    """
    facts = _failures(store, pl.col("end_us") < to_us)
    facts = facts.join(_merged(facts), on="pattern", how="left")
    ever = facts.partition_by("merged", as_dict=True)
    inside = facts.filter(pl.col("end_us") >= from_us)
    oldest = store.table("facts").read(["end_us"], pl.col("end_us") < from_us)["end_us"].min()
    found = [
        _row(one, ever[name], (from_us, to_us), inside.height, oldest is not None)
        for name, one in inside.group_by("merged")
    ]
    handled = int(inside["handled"].sum() or 0)
    failed = inside.height - handled
    return {
        "error_patterns": sorted(found, key=lambda row: (-row["traces"], row["pattern"])),
        "failures": {"failed": failed, "handled": handled, "unknown": max(errors - failed, 0)},
    }


def failure_messages(store: Store, trace_ids: pl.Series, where: pl.Expr) -> dict[str, str]:
    """What the failures of some traces said, by trace id; those without a message are left out."""
    found = _failures(store, where & pl.col("trace_id").is_in(trace_ids.implode()))
    return dict(found.filter(pl.col("message") != "").select("trace_id", "message").iter_rows())


def _failures(store: Store, where: pl.Expr) -> pl.DataFrame:
    """The facts that stand of traces with a failure, with the failure's keys as columns."""
    facts = net_facts(store.table("facts").read(list(_COLUMNS), where & pl.col("failure").is_not_null()))
    return facts.with_columns(pl.col("failure").str.json_decode(_FAILURE)).unnest("failure")


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


def _row(
    inside: pl.DataFrame, ever: pl.DataFrame, range_us: tuple[int, int], failures: int, has_history: bool
) -> dict[str, Any]:
    from_us, to_us = range_us
    before = ever.filter(pl.col("end_us") < from_us)
    lately = before.filter(pl.col("end_us") >= from_us - (to_us - from_us)).height
    state = NEW if before.is_empty() else ONGOING if lately else BACK
    newest = inside.sort("end_us", "trace_id", descending=True)
    return {
        "pattern": inside["merged"][0],
        "text": inside["text"][0],
        **{name: _most_common(inside[name]) for name in ("error_type", "span_type", "span_name")},
        "traces": inside.height,
        "handled": int(inside["handled"].sum() or 0),
        "share": inside.height / failures,
        "traces_before": lately if has_history else None,
        "first_seen": iso(_time(ever["end_us"].min())),
        "last_seen": iso(_time(inside["end_us"].max())),
        "state": state if has_history else None,
        "variants": inside["pattern"].n_unique(),
        "samples": newest["trace_id"].head(SAMPLES).to_list(),
    }


def _time(value: Any) -> int:
    return int(value)


def _most_common(values: pl.Series) -> str | None:
    counted = values.drop_nulls().value_counts().sort("count", values.name, descending=[True, False])
    return None if counted.is_empty() else str(counted[values.name][0])


def lines(document: Mapping[str, Any]) -> list[str]:
    """The most frequent patterns for a person, within the width of the terminal."""
    rows, numbers = document["error_patterns"], document["failures"]
    found = []
    if rows:
        handled = f", {numbers['handled']:,} in traces that ended well" if numbers["handled"] else ""
        found.append(fitted(f"failures: {sum(row['traces'] for row in rows):,}{handled}"))
    for row in rows[:_SHOWN]:
        since = readable_time(parse_time_us(row["first_seen"]), "minutes")
        state = f"{row['state'] or '':<7}"
        found.append(
            fitted(f"{row['traces']:>7,} {row['share']:>4.0%}  {state}  since {since}  {_place(row)}")
        )
        found.append(wrapped(plain(_whole_text(row), _LONGEST_TEXT), " " * 8))
    if len(rows) > _SHOWN:
        found.append(f"and {len(rows) - _SHOWN} more patterns (--json has them all)")
    if numbers["unknown"]:
        text = (
            f"{numbers['unknown']:,} failed traces were counted by an older version, which did not look for"
        )
        found.append(wrapped(f"{text} their failures; `tracesieve apply` does"))
    return found


def _place(row: Mapping[str, Any]) -> str:
    """Where most of the failures began."""
    return f"in {row['span_name']}" if row["span_name"] else "no span failed"


def _whole_text(row: Mapping[str, Any]) -> str:
    kind, text = row["error_type"] or "", row["text"] or "(no message)"
    return text if not kind or text.startswith(kind) else f"{kind}: {text}"

"""Candidates by category: how many traces matched, how many of them bear the tag, how many are in the
dataset, and why the others are not.

Numbers of three kinds differ for good reasons: a trace may be of several categories, traces with equal
requests share a record of a dataset, and what was written long ago, waits or was refused is not there (yet).
What was delivered is read from the store alone: the outbox with its deliveries, and the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from rules.selection import REASONS as QUOTA_REASONS
from sinks.base import MessageKind
from sinks.mlflow.records import GONE, LEAVING
from sinks.registry import consumes, is_withdrawal
from store import Store
from store.outbox import last_messages
from tracesieve.analysis.matches import Matches
from tracesieve.datasets.pool import standings
from tracesieve.datasets.selections import LEFT_OUT
from tracesieve.datasets.sets import DatasetSets
from tracesieve.terminal import table, wrapped

_PAIR = ["trace_id", "category"]
_PAIRS = pl.DataFrame(schema=dict.fromkeys(_PAIR, pl.String))
_OF_TRACE = (
    r', "trace_id": "(?:[^"\\]|\\.)*"\}$'  # the end of a message of ours: what comes before is often equal
)
REASONS = {
    "waiting": "waiting",
    "refused": "refused",
    "dropped": "dropped",
    "deleted": "deleted by a person",
    "taken_back": "taken back",
    "older_rules": "decided by older rules",
    "older_version": "tagged by an older version",
    "not_sent": "not sent",
    **QUOTA_REASONS,
}
_NOTES = {
    "refused": "`tracesieve outbox list` says what was refused and why",
    "older_rules": "`tracesieve apply` decides by the present rules",
    "older_version": "`tracesieve apply` writes the tags that an older version did not know",
}


def candidates(store: Store, traces: pl.DataFrame, matches: Matches, sets: DatasetSets) -> dict[str, Any]:
    """``categories``, a row each, the largest first, and ``categories_total`` over all of them, each trace
    and record once. Where the config names sets, a row is one of them.

    Of the ``traces`` (``trace_id``) that ``matches`` were found among: ``matched``, ``tagged`` and ``in_set``
    are numbers of traces, ``records`` of records of the dataset ``<prefix>_<category>``; ``not_tagged`` and
    ``left_out`` say why matched traces are not, by :data:`REASONS`. ``tagged`` is null where no tags,
    ``in_set`` and ``records`` where no records were ever to be written.
    """
    tags, members = (_last(store, kind, traces) for kind in (MessageKind.TAGS, MessageKind.MEMBERSHIP))
    chosen = standings(store, sets).join(traces.select("trace_id"), on="trace_id", how="semi")
    matched = matches.categories
    tagged = pl.concat([_tagged(tags), matches.labels]).unique()  # a person's label is a tag already
    if sets.are_named:
        matched = chosen.select("trace_id", category="set")
        tagged = matched.join(tagged.select("trace_id").unique(), on="trace_id", how="semi")
    records = _records(store, sets.prefix).join(traces.select("trace_id"), on="trace_id", how="semi")
    in_set = records.filter(~pl.col("deleted"))
    missing = _reasons(matched.join(tagged, on=_PAIR, how="anti"), tags, _PAIRS, chosen.clear())
    deleted = records.filter("deleted").select(_PAIR)
    left_out = _reasons(matched.join(in_set, on=_PAIR, how="anti"), members, deleted, chosen)
    found = [
        {
            "category": category,
            **_numbers(_of(matched, category), _of(tagged, category), _of(in_set, category), tags, members),
            "not_tagged": _counts(_of(missing, category)),
            "left_out": _counts(_of(left_out, category)),
        }
        for category in pl.concat([matched, tagged, in_set.select(_PAIR)])["category"].unique().sort()
    ]
    return {
        "categories": sorted(found, key=lambda row: -row["matched"]),
        "categories_total": _numbers(matched, tagged, in_set, tags, members),
    }


def _last(store: Store, kind: MessageKind, traces: pl.DataFrame) -> pl.DataFrame | None:
    """The last messages of that kind about those traces; None where none of the kind was ever made."""
    named = store.table("outbox").read(["sink"])["sink"].unique()
    sinks = [name for name in named if consumes(name, kind)]
    if not sinks:
        return None
    ids = traces.select(target="trace_id")
    return last_messages(store, sinks).join(ids, on="target", how="semi").rename({"target": "trace_id"})


def _numbers(
    matched: pl.DataFrame,
    tagged: pl.DataFrame,
    in_set: pl.DataFrame,
    tags: pl.DataFrame | None,
    members: pl.DataFrame | None,
) -> dict[str, int | None]:
    return {
        "matched": matched["trace_id"].n_unique(),
        "tagged": None if tags is None else tagged["trace_id"].n_unique(),
        "in_set": None if members is None else in_set["trace_id"].n_unique(),
        "records": None if members is None else in_set["record"].n_unique(),
    }


def _of(frame: pl.DataFrame, category: str) -> pl.DataFrame:
    return frame.filter(pl.col("category") == category)


def _counts(missing: pl.DataFrame) -> dict[str, int]:
    return dict(missing.group_by("reason").len().sort("len", "reason", descending=[True, False]).iter_rows())


def _tagged(tags: pl.DataFrame | None) -> pl.DataFrame:
    """The categories by which each trace can be found, as its tags were delivered last."""
    if tags is None:
        return _PAIRS
    rows = tags.filter(pl.col("delivered").is_not_null())
    rows = rows.select("trace_id", text=pl.col("delivered").str.replace(_OF_TRACE, "}"))
    distinct = [(text, category) for text in rows["text"].unique() for category in _named(json.loads(text))]
    by_text = pl.DataFrame(distinct, {"text": pl.String, "category": pl.String}, orient="row")
    return rows.join(by_text, on="text").select(_PAIR)


def _named(payload: Mapping[str, Any]) -> list[str]:
    """The categories that a message about tags names; one of an older program has a single one."""
    of_all = payload.get("categories")
    if of_all is not None:
        return list(of_all)
    return [payload["category"]] if payload.get("category") else []


def _records(store: Store, prefix: str) -> pl.DataFrame:
    """Which trace is in the dataset of which category, by which record, and whether a person deleted that."""
    rows = store.table("records").read(["dataset", "dataset_id", "record", "trace_id", "weight"])
    keys = ["dataset", "dataset_id", "record"]
    net = (
        rows.group_by(*keys, "trace_id")
        .agg(pl.col("weight").cast(pl.Int64).sum())
        .filter(pl.col("weight") > 0)
    )
    gone = net.filter(pl.col("trace_id") == GONE).select(keys).with_columns(deleted=True)
    ours = net.filter(
        ~pl.col("trace_id").is_in([GONE, LEAVING]) & pl.col("dataset").str.starts_with(f"{prefix}_")
    )
    return ours.join(gone, on=keys, how="left").select(
        "trace_id",
        category=pl.col("dataset").str.strip_prefix(f"{prefix}_"),
        record=pl.concat_str(keys, separator="\n"),
        deleted=pl.col("deleted").fill_null(False),
    )


def _reasons(
    missing: pl.DataFrame, last: pl.DataFrame | None, deleted: pl.DataFrame, chosen: pl.DataFrame
) -> pl.DataFrame:
    """``missing`` (trace and category) with the reason why each is missing; ``chosen``: those of quotas."""
    if last is None:
        return missing.clear().with_columns(reason=pl.lit(None, dtype=pl.String))
    known = missing.join(last, on="trace_id", how="left")
    known = known.join(deleted.with_columns(_deleted=True), on=_PAIR, how="left")
    left_out = chosen.filter(pl.col("reason") != "").select("trace_id", category="set", _left_out="reason")
    known = known.join(left_out, on=_PAIR, how="left")
    reasons = [_reason(row) for row in known.iter_rows(named=True)]
    return known.select(_PAIR).with_columns(reason=pl.Series(reasons, dtype=pl.String))


def _reason(row: Mapping[str, Any]) -> str:
    if row["_deleted"]:
        return "deleted"
    if row["_left_out"] is not None and (row["newest"] is None or not _is_undone(row["newest"])):
        return str(row["_left_out"])
    if row["newest"] is None:
        return "not_sent"
    if row["outcome"] != "delivered":
        return {"dead": "refused", "dropped": "dropped"}.get(row["outcome"], "waiting")
    payload = json.loads(row["newest"])
    if is_withdrawal(row["sink"], payload):
        return "taken_back"
    return "older_rules" if "categories" in payload else "older_version"


def _is_undone(newest: str) -> bool:
    """Whether a message takes a trace out of all datasets, and not to make room for another."""
    payload = json.loads(newest)
    return not payload.get("categories") and LEFT_OUT not in payload


def lines(document: Mapping[str, Any]) -> list[str]:
    """The table of candidates for a person, within the width of the terminal, and what it does not explain by
    itself.
    """
    rows = [(row["category"], *_texts(row), _reasons_text(row["left_out"])) for row in document["categories"]]
    if not rows:
        return ["candidates: none"]
    if len(rows) > 1:
        rows.append(("all of them", *_texts(document["categories_total"]), ""))
    headings = ("candidates", "matched", "tagged", "in the set", "records", "left out")
    shown = table(headings, rows, numbers=range(1, 5))
    untagged = [
        f"{row['category']} {_reasons_text(row['not_tagged'])}"
        for row in document["categories"]
        if row["not_tagged"]
    ]
    if untagged:
        shown.append(wrapped(f"not tagged: {'; '.join(untagged)}"))
    reasons = {key for row in document["categories"] for key in (*row["not_tagged"], *row["left_out"])}
    notes = ["a trace may be of several categories; traces with equal requests share a record"]
    notes += [note for key, note in _NOTES.items() if key in reasons]
    return [*shown, wrapped("; ".join(notes))]


def _texts(numbers: Mapping[str, int | None]) -> Iterator[str]:
    for name in ("matched", "tagged", "in_set", "records"):
        number = numbers[name]
        yield "-" if number is None else f"{number:,}"


def _reasons_text(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {REASONS[key]}" for key, number in reasons.items())

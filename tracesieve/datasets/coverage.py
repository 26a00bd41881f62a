"""What is noted of a dataset when a version of it is taken: what was left out and why, and how much of the
failures of the last days its members cover (``rules.selection.coverage``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl
import pyarrow as pa

from rules.failures import masked
from rules.selection import coverage, duration_stratum, missing
from rules.units import DAY_US
from sinks.mlflow.records import GONE
from store import NETTED, Store, net_facts
from tracesieve.datasets.pool import Pool, Row, classes_of
from tracesieve.datasets.sets import DatasetSets

PERIOD_DAYS: Final = 30
MOST_MISSING: Final = 5
_COLUMNS = (*NETTED, "experiment_id", "end_us", "duration_us", "failure")


def noted(
    store: Store,
    sets: DatasetSets,
    dataset: str,
    experiment_id: str,
    now_us: int,
) -> dict[str, Any]:
    """``left_out``, the number of candidates by reason, and ``coverage`` of the failures of the last 30 days;
    of a dataset by its whole name, in the experiment it is in. Nothing of one that has no candidates.

    ``coverage`` is null where no candidate failed. It has ``days``, ``failures`` and ``patterns`` of that
    time, ``share`` of these failures whose pattern a member has, ``at_least`` (the 95% lower bound of the
    share of failures to come that it covers), ``unseen`` (Good and Turing's estimate of the share of failures
    to come of a pattern that never occurred), and ``missing``: frequent ``patterns`` (their texts),
    ``groups`` and ``durations`` of failures that no member has, each with its number of failures.

    Raises:
        StoreError: the store cannot be read.
    """
    pool = Pool(store, sets)
    name = dataset.removeprefix(f"{sets.prefix}_")
    if name not in pool.names():
        return {}
    place = None if sets.is_one(name) else experiment_id
    selection = pool.selection(name, place)
    members = sorted(selection.kept - _deleted(store, dataset))
    rows = [row for one in members if (row := pool.row(one)) is not None]
    others = (pool.row(one) for one in selection.left_out)
    failed = any(row["pattern"] for row in rows) or any(row and row["pattern"] for row in others)
    covered = _coverage(_failures(store, place, now_us), rows) if failed else None
    return {"left_out": selection.counts, "coverage": covered}


def _deleted(store: Store, dataset: str) -> set[str]:
    """The traces whose record a person deleted."""
    keys = ["dataset_id", "record"]
    rows = store.table("records").read([*keys, "trace_id", "weight"], pl.col("dataset") == dataset)
    net = rows.group_by(*keys, "trace_id").agg(pl.col("weight").cast(pl.Int64).sum())
    standing = net.filter(pl.col("weight") > 0)
    gone = standing.filter(pl.col("trace_id") == GONE).select(keys)
    return set(standing.join(gone, on=keys, how="semi")["trace_id"])


def _failures(store: Store, experiment_id: str | None, now_us: int) -> list[Row]:
    """The standing facts of traces with a failure that ended in the last days, the failure's keys beside."""
    ended = pl.col("end_us").is_between(now_us - PERIOD_DAYS * DAY_US, now_us)
    where = ended & pl.col("failure").is_not_null()
    if experiment_id is not None:
        where &= pl.col("experiment_id") == experiment_id
    facts = net_facts(store.table("facts").read(list(_COLUMNS), where)).to_dicts()
    return [{**row, **json.loads(row["failure"])} for row in facts]


def _coverage(failures: list[Row], members: list[Row]) -> dict[str, Any]:
    texts = _texts(failures) | {
        row["pattern"]: (row["error_type"] or "", row["pattern_text"] or "")
        for row in members
        if row["pattern"]
    }
    classes = classes_of(texts)
    of_failures = [(row["trace_id"], classes[row["pattern"]]) for row in failures]
    inside = [row for row in members if row["pattern"]]
    found = coverage(of_failures, {classes[row["pattern"]] for row in inside})
    patterns = missing(Counter(one for _, one in of_failures), {classes[row["pattern"]] for row in inside})
    return {
        "days": PERIOD_DAYS,
        "failures": found.failures,
        "patterns": found.patterns,
        "share": found.share,
        "at_least": found.at_least,
        "unseen": found.unseen,
        "missing": {
            "patterns": _rows((one.replace("\n", ": ", 1).removeprefix(": "), n) for one, n in patterns),
            "groups": _lacking(failures, inside, _group),
            "durations": _lacking(failures, inside, _duration),
        },
    }


def _texts(failures: list[Row]) -> dict[str, tuple[str, str]]:
    """The error type and the masked message of each pattern."""
    one_each = {row["pattern"]: row for row in failures}
    messages = pa.array([row["message"] for row in one_each.values()], pa.string())
    types = [row["error_type"] or "" for row in one_each.values()]
    return dict(zip(one_each, zip(types, masked(messages).to_pylist(), strict=True), strict=True))


def _lacking(failures: list[Row], members: list[Row], stratum: Any) -> list[dict[str, Any]]:
    return _rows(missing(Counter(map(stratum, failures)), set(map(stratum, members))))


def _group(row: Mapping[str, Any]) -> str:
    named = zip(row["group_by"] or [], row["group"] or [], strict=False)
    return ", ".join(f"{key}={value}" for key, value in named)


def _duration(row: Mapping[str, Any]) -> str:
    return duration_stratum(row["duration_us"])


def _rows(lacking: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "failures": count} for name, count in list(lacking)[:MOST_MISSING]]

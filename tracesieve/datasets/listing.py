"""The datasets of a store with their versions, as documents for people and scripts; from the store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from sinks.mlflow.expectations import EXPECTATIONS
from sinks.mlflow.origin import FIRST_SEEN, LAST_SEEN, MESSAGE, TRACES
from sinks.mlflow.provenance import OUTPUT, REDACTED, REDACTION, RULES, SOURCES, WITHDRAWN
from sinks.mlflow.records import GONE, LEAVING
from store import Store
from store.dataset_versions import DatasetVersions, StoredVersion
from tracesieve.datasets.beginning import MOST_TEXT, beginning
from tracesieve.datasets.coverage import noted
from tracesieve.datasets.record import Record
from tracesieve.datasets.sets import DatasetSets
from tracesieve.datasets.versions import records_of, versions_of
from tracesieve.json_output import iso

MOST_ITEMS = 10  # records that `show` names
MOST_VALUES = 10  # of a tag
# Tags of ours that say little of a whole set: they differ from record to record.
_NOT_COUNTED = (
    *(EXPECTATIONS, SOURCES, OUTPUT, RULES, WITHDRAWN, REDACTED, REDACTION),
    *(MESSAGE, TRACES, FIRST_SEEN, LAST_SEEN, "tracesieve.session"),
)


def listed(store: Store) -> list[dict[str, Any]]:
    """Every dataset that has a version, and those that have records of ours and no version yet.

    ``left_out``, ``coverage`` and ``coverage_low`` are as noted when the last version was taken: to find them
    anew takes seconds where there are many candidates (:func:`described` does).
    """
    versions = DatasetVersions(store)
    counts = Counter(one.place.key for one in versions.all())
    rows = []
    for key, one in sorted(versions.latest().items()):
        note = flat(one.note)
        del note["covered"]
        rows.append({**heading(one), "versions": counts[key], **note})
    known = {one.dataset_id for one in versions.all()} | {one.place.dataset for one in versions.all()}
    return rows + [row for row in _growing(store) if not {row.pop("_id"), row["name"]} & known]


def heading(version: StoredVersion) -> dict[str, Any]:
    """Which version it is."""
    return {
        "name": version.place.dataset,
        "experiment": version.place.experiment or version.place.experiment_id,
        "version": version.version,
        "records": version.records,
        "sources": version.sources,
        "taken": iso(version.at_us),
    }


def flat(note: Mapping[str, Any]) -> dict[str, Any]:
    """What is noted of a version (:func:`tracesieve.datasets.coverage.noted`) as documents have it:
    ``coverage`` and ``coverage_low`` are shares, ``covered`` holds all that is known of them.
    """
    covered = note.get("coverage")
    return {
        "left_out": note.get("left_out", {}),
        "coverage": covered and covered["share"],
        "coverage_low": covered and covered["at_least"],
        "covered": covered,
    }


def _growing(store: Store) -> list[dict[str, Any]]:
    """The datasets that hold records of ours, from the changelog of records."""
    keys = ["dataset", "dataset_id", "record", "trace_id"]
    rows = store.table("records").read([*keys, "weight"])
    net = rows.group_by(keys).agg(pl.col("weight").cast(pl.Int64).sum()).filter(pl.col("weight") > 0)
    gone = net.filter(pl.col("trace_id") == GONE).select(keys[:3])
    ours = net.filter(~pl.col("trace_id").is_in([GONE, LEAVING])).join(gone, on=keys[:3], how="anti")
    counts = ours.group_by(keys[:2]).agg(pl.col("record").n_unique(), pl.col("trace_id").n_unique())
    return [
        {
            "_id": dataset_id,
            "name": name,
            "experiment": None,
            "version": None,
            "records": records,
            "sources": sources,
            "taken": None,
            "versions": 0,
            "left_out": {},
            "coverage": None,
            "coverage_low": None,
        }
        for name, dataset_id, records, sources in counts.sort(keys[:2]).iter_rows()
    ]


def described(
    store: Store, sets: DatasetSets, name: str, version: StoredVersion, now_us: int
) -> dict[str, Any]:
    """What a version holds: numbers of records by what their tags say, some of them, and the versions; and
    what it lacks, as noted when it was taken, of the last one as things stand now.
    """
    tags: dict[str, Counter[str]] = {}
    people: Counter[str] = Counter()
    items: list[dict[str, Any]] = []
    for one in records_of(store, version):
        _count_tags(one, tags)
        people.update(edits(one))
        if len(items) < MOST_ITEMS:
            items.append(_item(one))
    history = versions_of(store, name)
    is_last = history[-1].number == version.number
    now = noted(store, sets, *version.place.key, now_us) if is_last else {}
    return {
        **heading(version),
        **flat(now or version.note),
        "people": dict(sorted(people.items())),
        "tags": {key: dict(values.most_common(MOST_VALUES)) for key, values in sorted(tags.items())},
        "distinct": {key: len(values) for key, values in sorted(tags.items())},
        "items": items,
        "history": [
            {"version": one.version, "taken": iso(one.at_us), "records": one.records}
            for one in reversed(history)
        ],
    }


def edits(record: Record) -> Iterable[str]:
    """What people did to a record: ``added``, ``outputs``, ``expectations``, ``tags``."""
    if not record.is_ours:
        yield "added"
    if record.output_edited:
        yield "outputs"
    if record.own_expectations:
        yield "expectations"
    if record.own_tags:
        yield "tags"


def _item(record: Record) -> dict[str, Any]:
    return {
        "record": record.key,
        "inputs": beginning(record.inputs),
        "sources": len(record.sources),
        "people": list(edits(record)),
    }


def _count_tags(record: Record, tags: dict[str, Counter[str]]) -> None:
    for rule in filter(None, record.tags.get(RULES, "").split(",")):
        tags.setdefault(RULES, Counter())[rule] += 1
    for key, value in record.tags.items():
        if value and key not in _NOT_COUNTED:
            tags.setdefault(key[:MOST_TEXT], Counter())[value[:MOST_TEXT]] += 1

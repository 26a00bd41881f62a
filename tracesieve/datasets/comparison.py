"""What differs between two versions: records that came and went, and which part of a record changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from sinks.mlflow.records import RecordKey, Records
from store import Store
from store.dataset_versions import StoredVersion
from tracesieve.datasets.beginning import beginning
from tracesieve.datasets.listing import heading
from tracesieve.datasets.record import Record, canonical
from tracesieve.datasets.versions import records_of

PERSON, TRACESIEVE = "person", "tracesieve"
_ABSENT = object()


def compared(store: Store, a: StoredVersion, b: StoredVersion) -> dict[str, Any]:
    """The document of ``datasets diff``: from ``a`` to ``b``, its records in the order of their digests.

    ``noted`` counts the records of which only what tracesieve notes has changed (sources, rules, reasons).
    """
    before = {one.key: one for one in records_of(store, a)}
    after = {one.key: one for one in records_of(store, b)}
    rows = []
    same = noted = 0
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            rows.append(_row(key, old, new, _who(store, a, old, new), []))
        elif parts := list(_parts(old, new)):
            rows.append(_row(key, old, new, _who_of(parts), parts))
        else:
            same += 1
            noted += old != new
    counts = {
        change: sum(row["change"] == change for row in rows) for change in ("added", "removed", "changed")
    }
    return {"a": heading(a), "b": heading(b), **counts, "same": same, "noted": noted, "changes": rows}


def _row(
    key: str, old: Record | None, new: Record | None, by: str, parts: list[dict[str, Any]]
) -> dict[str, Any]:
    change = "added" if old is None else "removed" if new is None else "changed"
    one = new or old
    assert one is not None
    return {"record": key, "change": change, "by": by, "inputs": beginning(one.inputs), "parts": parts}


def _who(store: Store, version: StoredVersion, old: Record | None, new: Record | None) -> str:
    """Who added or removed a record."""
    if old is None:
        return TRACESIEVE if new is not None and new.is_ours else PERSON
    if not old.is_ours:
        return PERSON
    key = RecordKey(version.place.dataset, version.dataset_id, old.key)
    return PERSON if Records(store.table("records")).is_gone(key) else TRACESIEVE


def _who_of(parts: list[dict[str, Any]]) -> str:
    return PERSON if any(part["by"] == PERSON for part in parts) else TRACESIEVE


def _parts(old: Record, new: Record) -> Iterator[dict[str, Any]]:
    if canonical(old.outputs) != canonical(new.outputs):
        by = PERSON if new.output_edited or old.output_edited or not new.is_ours else TRACESIEVE
        yield _part("outputs", None, old.outputs, new.outputs, by)
    theirs = old.own_expectations.keys() | new.own_expectations.keys()
    yield from _keys("expectations", old.expectations, new.expectations, theirs)
    tags = old.own_tags, new.own_tags
    yield from _keys("tags", *tags, tags[0].keys() | tags[1].keys())


def _keys(
    part: str, old: Mapping[str, Any], new: Mapping[str, Any], theirs: Set[str]
) -> Iterator[dict[str, Any]]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if before is _ABSENT or after is _ABSENT or canonical(before) != canonical(after):
            yield _part(part, key, before, after, PERSON if key in theirs else TRACESIEVE)


def _part(part: str, key: str | None, before: Any, after: Any, by: str) -> dict[str, Any]:
    """One part that changed; what was not there before, or is not there any more, is null."""
    return {
        "part": part,
        "key": key,
        "by": by,
        "before": None if before is _ABSENT else beginning(before),
        "after": None if after is _ABSENT else beginning(after),
    }

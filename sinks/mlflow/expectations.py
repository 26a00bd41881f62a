"""Expectations that the config attaches to the records of a set (``datasets.sets.NAME.expectations``), beside
those that people gave.

A tag holds the digest of each value that we wrote.  A value with another digest is a person's: it is never
written over, and makes the record theirs.  A value of ours follows the config.  MLflow's merge takes no name
of a record away, so one that the config names no more stays, as ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from sinks.mlflow.dataset_server import DatasetServer, ListedRecord, digest
from sinks.mlflow.records import RecordKey, Records
from sinks.mlflow.redaction import Door, Passed

EXPECTATIONS = "tracesieve.expectations"
Values = Mapping[str, Any]  # expectations by name


class WithExpectations(Protocol):
    """A record, wherever it was read."""

    @property
    def expectations(self) -> Values: ...

    @property
    def tags(self) -> Mapping[str, str]: ...


def ours(record: WithExpectations) -> dict[str, Any]:
    """The expectations of a record that we wrote and nobody changed since."""
    noted = _noted(record.tags.get(EXPECTATIONS))
    there = record.expectations or {}
    return {name: value for name, value in there.items() if noted.get(name) == digest(value)}


def theirs(record: WithExpectations) -> dict[str, Any]:
    """The expectations of a record that a person gave it, or changed."""
    mine = ours(record)
    return {name: value for name, value in (record.expectations or {}).items() if name not in mine}


def lacking(wanted: Values, present: ListedRecord | None) -> dict[str, Any]:
    """Of the wanted expectations those that a record is to get: it has none of that name, or an older one of
    ours.
    """
    there: Values = {} if present is None else present.expectations
    mine: Values = {} if present is None else ours(present)
    return {
        name: value
        for name, value in wanted.items()
        if name not in there or (name in mine and digest(mine[name]) != digest(value))
    }


def tag_of(written: Values, present: ListedRecord | None = None) -> dict[str, str]:
    """The tag that says which expectations are ours once these are written."""
    known = {} if present is None else _noted(present.tags.get(EXPECTATIONS))
    noted = {**known, **{name: digest(value) for name, value in written.items()}}
    return {EXPECTATIONS: json.dumps(noted, sort_keys=True)} if written else {}


def put_together(row: dict[str, Any], expectations: Values, mine: Values) -> None:
    """Give the row of a record those of another one that becomes part of it; a person's value wins over ours,
    else the one that is there over the other.
    """
    there, tags = row["expectations"], row["tags"]
    noted = _noted(tags.get(EXPECTATIONS))
    for name, value in expectations.items():
        if name in there and not (noted.get(name) == digest(there[name]) and name not in mine):
            continue
        there[name] = value
        noted.pop(name, None)
        if name in mine:
            noted[name] = digest(value)
    if noted or EXPECTATIONS in tags:
        tags[EXPECTATIONS] = json.dumps(noted, sort_keys=True)


class Attached:
    """What the config attaches, by whole name of the dataset."""

    def __init__(self, by_dataset: Mapping[str, Values], door: Door) -> None:
        self._by_dataset, self._door = by_dataset, door
        self._changed: dict[str, bool] = {}

    def of(self, dataset: str) -> Values:
        """As the config has it, not redacted."""
        return self._by_dataset.get(dataset, {})

    def is_redacted(self, dataset: str) -> bool:
        """Whether the door takes anything out of it: then it goes through with each record, so that a value
        has one token in all of that record.

        Raises:
            Refused: it cannot be redacted.
        """
        wanted = self.of(dataset)
        if wanted and dataset not in self._changed:
            self._changed[dataset] = self._door.passed(dict(wanted)).values[0] != wanted
        return self._changed.get(dataset, False)

    def with_case(self, *content: Any) -> dict[str, Passed]:
        """Those that are redacted, by dataset, through the door after the content of a record.

        Raises:
            Refused: they cannot be redacted.
        """
        names = [name for name in self._by_dataset if self.is_redacted(name)]
        return {name: self._door.passed(*content, dict(self.of(name))) for name in names}


class Attaching:
    """Records that were written before the config named these expectations; each dataset is looked through
    once a process, before the first delivery to it.

    Where redaction changes an expectation, a record gets it with its next write, when its content is read.
    """

    def __init__(self, server: DatasetServer, records: Records, attached: Attached) -> None:
        self._server, self._records, self._attached = server, records, attached
        self._done: set[str] = set()

    def look_through(self, names: set[str]) -> None:
        """Write what records of ours in the datasets of these names lack.

        Raises:
            MlflowException, Refused: the server failed, or redaction; repeat it.
        """
        wanted = {name for name in names if self._attached.of(name) and not self._attached.is_redacted(name)}
        rows: dict[str, list[dict[str, Any]]] = {}
        for key in self._records.known() if wanted else ():
            if key.dataset in wanted and key.dataset_id not in self._done:
                rows.setdefault(key.dataset_id, []).extend(self._row(key))
        for dataset_id, changed in rows.items():
            if changed:
                self._server.merge(dataset_id, changed)
            self._done.add(dataset_id)

    def _row(self, key: RecordKey) -> list[dict[str, Any]]:
        present = self._server.listing(key.dataset_id).get(key.record)
        if present is None or not self._records.sources(key):
            return []
        given = lacking(self._attached.of(key.dataset), present)
        return [{"inputs": present.inputs, "expectations": given, "tags": tag_of(given, present)}] * bool(
            given
        )


def _noted(text: str | None) -> dict[str, str]:
    """The digests in the tag; a person may have written anything into it."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

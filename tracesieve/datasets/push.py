"""Merging a version into an MLflow dataset of its own; a repeat changes nothing, and what people edited there
stays.

A tag of each record holds the digest of every part that was pushed.  A part that is still so is ours to
change when another version comes; one that is not is a person's.  MLflow's merge adds and changes: what a
later version has no longer stays in the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sinks.mlflow.dataset_server import ListedRecord, digest
from tracesieve.datasets.record import Record, canonical, is_peoples

PUSHED = "tracesieve.pushed"
_DIGITS = 16  # of the digest of a part


class Server(Protocol):
    """What is needed of :class:`sinks.mlflow.dataset_server.DatasetServer`."""

    def listing(self, dataset_id: str) -> dict[str, ListedRecord]:
        """The records that are there, by the digest of their inputs."""
        ...

    def fitting(self, dataset_id: str, output: Any) -> Any:
        """An output as the dataset can take it."""
        ...

    def merge(self, dataset_id: str, records: Sequence[dict[str, Any]]) -> None:
        """Insert or update records by their inputs."""
        ...


@dataclass
class Pushed:
    """How many records were inserted, updated or left as they were; ``kept`` have a part that a person
    edited.
    """

    inserted: int = 0
    updated: int = 0
    same: int = 0
    kept: int = 0


def push(server: Server, dataset_id: str, records: Iterable[Record]) -> Pushed:
    """Merge records into the dataset of that id.

    Raises:
        MlflowException: the server failed; repeat it.
    """
    there, done = server.listing(dataset_id), Pushed()
    rows: list[dict[str, Any]] = []
    for one in records:
        parts = dict(_parts(server.fitting(dataset_id, one.outputs), one.expectations, one.own_tags))
        present = there.get(one.key)
        if present is None:
            done.inserted += 1
            row = _row(one, parts, {})
            rows.append({**row, "source": dict(one.origin)} if one.origin else row)
            continue
        pushed = _pushed(present.tags.get(PUSHED))
        changes, kept = _changes(parts, present, pushed)
        row = _row(one, changes, pushed)
        done.kept += kept
        if changes or not row["tags"].items() <= present.tags.items():
            done.updated += 1
            rows.append(row)
        else:
            done.same += 1
    server.merge(dataset_id, rows)
    return done


def _parts(
    output: Any, expectations: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], Any]]:
    """What makes up a case, each with its name: ``outputs``, or the key of an expectation or tag."""
    yield ("outputs", ""), output
    yield from ((("expectations", key), value) for key, value in expectations.items())
    yield from ((("tags", key), value) for key, value in tags.items())


def _changes(
    parts: Mapping[tuple[str, str], Any], present: ListedRecord, pushed: Mapping[str, str]
) -> tuple[dict[tuple[str, str], Any], bool]:
    """The parts to be written, and whether any is kept as a person wrote it."""
    theirs = dict(_parts(present.outputs, present.expectations, present.tags))
    changes, kept = {}, False
    for part, value in parts.items():
        if part not in theirs:
            changes[part] = value
        elif canonical(theirs[part]) != canonical(value):
            if pushed.get(".".join(part)) == digest(theirs[part])[:_DIGITS]:
                changes[part] = value
            else:
                kept = True
    return changes, kept


def _row(record: Record, parts: Mapping[tuple[str, str], Any], pushed: Mapping[str, str]) -> dict[str, Any]:
    """A record as MLflow merges it: those parts, and what tracesieve notes."""
    digests = {".".join(part): digest(value)[:_DIGITS] for part, value in parts.items()}
    noted = {key: value for key, value in record.tags.items() if not is_peoples(key)}
    row: dict[str, Any] = {
        "inputs": record.inputs,
        "tags": {**noted, PUSHED: canonical({**pushed, **digests})},
    }
    for (name, key), value in parts.items():
        if name == "outputs":
            row[name] = value
        else:
            row.setdefault(name, {})[key] = value
    return row


def _pushed(text: str | None) -> dict[str, str]:
    """The digests of what was pushed; a person may have written anything into that tag."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

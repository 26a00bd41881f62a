"""Records that were written before redaction, or with another one, redacted where they stand.

Each dataset is looked through once a process, before the first delivery to it.  A record whose inputs change
gets another digest: it moves, with its sources and with what a person gave it (expectations, tags, another
output), and the old one is deleted.  One of which outputs or expectations alone change is written
again, but for those that a person gave it.  All others are not touched.

Killed anywhere and repeated it comes to the same: the new record is written first, then the move is noted and
the deletion announced in one commit, then the old one is deleted.
"""

from __future__ import annotations

import logging
from typing import Any

from sinks.errors import Refused
from sinks.mlflow.dataset_server import DatasetServer, ListedRecord, digest
from sinks.mlflow.expectations import EXPECTATIONS, ours, put_together, tag_of
from sinks.mlflow.leaving import delete
from sinks.mlflow.origin import seen
from sinks.mlflow.provenance import (
    OUTPUT,
    REASON,
    REDACTED,
    REDACTION,
    edited,
    is_ours,
    newest,
    tags_of,
)
from sinks.mlflow.records import RecordKey, Records, RecordSource, moved
from sinks.mlflow.redaction import Door, Passed

_LOG = logging.getLogger(__name__)
_Changes = dict[RecordKey, dict[str, RecordSource | None]]


class Rewriting:
    """What is to be looked through, and has been in this process."""

    def __init__(self, server: DatasetServer, records: Records, door: Door) -> None:
        self._server, self._records, self._door = server, records, door
        self._done: set[str] = set()

    def look_through(self, names: set[str]) -> None:
        """Redact the records of ours in the datasets of these names that need it.

        Raises:
            MlflowException, StoreError: the server or the store failed; repeat it.
        """
        if not self._door.fingerprint:
            return
        keys = [
            key for key in self._records.known() if key.dataset in names and key.dataset_id not in self._done
        ]
        for dataset_id in dict.fromkeys(key.dataset_id for key in keys):
            self._dataset(dataset_id, [key for key in keys if key.dataset_id == dataset_id])
            self._done.add(dataset_id)

    def _dataset(self, dataset_id: str, keys: list[RecordKey]) -> None:
        listing = self._server.listing(dataset_id)
        rows: dict[str, dict[str, Any]] = {}
        changes: _Changes = {}
        moves = []
        for key in keys:
            present = listing.get(key.record)
            if present is None or present.tags.get(REDACTION) == self._door.fingerprint:
                continue
            passed = self._passed(present)
            if passed is None:
                continue
            new = key._replace(record=digest(passed.values[0]))
            if new != key:
                moves.append(key)
                self._move(key, new, present, passed, rows, changes)
            elif row := self._rewritten(dataset_id, present, passed):
                rows[key.record] = row
        if rows:
            self._server.merge(dataset_id, list(rows.values()))
        self._records.change(changes)
        delete(self._server, self._records, moves)

    def _passed(self, present: ListedRecord) -> Passed | None:
        try:
            own = {name: text for name, text in present.tags.items() if not is_ours(name)}
            return self._door.passed(present.inputs, present.outputs, present.expectations, own)
        except Refused as error:
            _LOG.warning("a record of an earlier program stays as it is: %s", error)
            return None

    def _rewritten(self, dataset_id: str, present: ListedRecord, passed: Passed) -> dict[str, Any]:
        """What is ours and was not redacted, redacted; empty where there is no such."""
        _, outputs, expectations, _ = passed.values
        row: dict[str, Any] = {}
        tags = self._tags(passed)
        if present.outputs != outputs and _output_is_ours(present):
            row["outputs"] = self._server.fitting(dataset_id, outputs)
            tags[OUTPUT] = digest(row["outputs"])
        before = ours(present)
        mine = {name: expectations.get(name, value) for name, value in before.items()}
        if mine != before:
            row["expectations"] = mine
            tags |= tag_of(mine, present)
        return {"inputs": present.inputs, **row, "tags": tags} if row else {}

    def _tags(self, passed: Passed) -> dict[str, str]:
        return {REDACTED: passed.found, REDACTION: self._door.fingerprint}

    def _move(
        self,
        key: RecordKey,
        new: RecordKey,
        present: ListedRecord,
        passed: Passed,
        rows: dict[str, dict[str, Any]],
        changes: _Changes,
    ) -> None:
        """Plan the move of a record; several may move to one."""
        sources = self._records.sources(key)
        changes[key] = {**dict.fromkeys(sources), **moved()}
        into = changes.setdefault(new, {})
        into |= sources
        if self._records.is_gone(new):  # a person deleted the same case before
            return
        inputs, outputs, expectations, own_tags = passed.values
        row = rows.get(new.record) or self._begun(new, inputs)
        put_together(row, expectations, ours(present))
        standing = {**self._records.sources(new), **{t: one for t, one in into.items() if one is not None}}
        if self._gives_output(new, present, newest(standing).trace_id in sources):
            row["outputs"] = self._server.fitting(new.dataset_id, outputs)
            # A person's output must not look like ours.
            row["tags"][OUTPUT] = digest(row["outputs"]) if _output_is_ours(present) else ""
        noted = {
            **tags_of(standing),
            **seen(standing),
            REASON: self._door.passed(newest(standing).reason).values[0],
        }
        row["tags"] = {**own_tags, **row["tags"], **noted, **self._tags(passed)}
        rows[new.record] = row

    def _gives_output(self, new: RecordKey, present: ListedRecord, is_last: bool) -> bool:
        """Whether the output of a record that moves is to be that of the other: it is a person's, or that of
        the trace that ended last.
        """
        there = self._server.listing(new.dataset_id).get(new.record)
        if there is not None and edited(there):
            return False
        return is_last or not _output_is_ours(present)

    def _begun(self, new: RecordKey, inputs: dict[str, Any]) -> dict[str, Any]:
        """The row of a record that others move to: what a person gave it goes first."""
        there = self._server.listing(new.dataset_id).get(new.record)
        if there is None:
            return {"inputs": inputs, "expectations": {}, "tags": {}}
        own = {name: text for name, text in there.tags.items() if not is_ours(name) or name == EXPECTATIONS}
        return {"inputs": there.inputs, "expectations": dict(there.expectations), "tags": own}


def _output_is_ours(record: ListedRecord) -> bool:
    return record.tags.get(OUTPUT) == digest(record.outputs)

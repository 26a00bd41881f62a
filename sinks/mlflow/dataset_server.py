"""An MLflow server's evaluation datasets as the sink uses them: found or made by name, listed once, written
in batches.

A dataset's records can only be listed whole, so a listing is kept for as long as the dataset's own times,
digest and size say that nobody else wrote to it, and is corrected by what we write.  (An edit by a person in
the milliseconds of one of our own writes is seen ``LISTING_S`` later.)
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sinks.mlflow.answers import fitting, opened, schema_of_outputs
from sinks.mlflow.server import client

LISTING_S = 60.0
OURS = {"tracesieve": "true"}  # the tags of a dataset that we made
_MAX_RECORDS, _MAX_BYTES = 500, 4_000_000  # in one request


@dataclass(frozen=True)
class ListedRecord:
    """A record as the server shows it; ``record_id`` is empty for one that we wrote since the listing."""

    inputs: dict[str, Any]
    outputs: Any
    expectations: dict[str, Any]
    tags: dict[str, str]
    record_id: str = ""


@dataclass
class _Listing:
    fingerprint: tuple[Any, ...]
    at_s: float
    records: dict[str, ListedRecord]


class DatasetServer:
    """Datasets by name and experiment; every method raises ``MlflowException`` when the server does. One
    thread.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._client = client(tracking_uri)
        # What EvaluationDataset.merge_records calls; that method itself only knows the process-wide tracking
        # URI.
        self._store = self._client._tracking_client.store
        self._ids: dict[tuple[str, str], str] = {}
        self._experiments: dict[str, str] = {}
        self._listings: dict[str, _Listing] = {}
        self._outputs: dict[str, Any] = {}  # the schema of each dataset's outputs
        self._checked: set[str] = set()  # whose listing was compared in this batch
        self._existing: set[str] = set()  # that were found to exist in this batch

    def begin(self) -> None:
        """A new batch: what is kept of the server is compared with it once more, at its first use."""
        self._checked.clear()
        self._existing.clear()

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if there is none."""
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            self._experiments[name] = str(
                found.experiment_id if found else self._client.create_experiment(name)
            )
        return self._experiments[name]

    def dataset(self, name: str, experiment_id: str) -> str:
        """The id of the dataset of that name (the oldest, should there be several), made if there is none."""
        known = self._ids.get((name, experiment_id))
        if known is not None and (known in self._existing or self._fingerprint(known) is not None):
            self._existing.add(known)
            return known
        found = self._client.search_datasets([experiment_id], f"name = '{name}'", 1, ["created_time ASC"])
        made = found[0] if found else self._client.create_dataset(name, [experiment_id], dict(OURS))
        dataset_id = str(made.dataset_id)
        self._ids[name, experiment_id] = dataset_id
        self._outputs[dataset_id] = schema_of_outputs(made.schema)
        self._existing.add(dataset_id)
        return dataset_id

    def listing(self, dataset_id: str) -> dict[str, ListedRecord]:
        """The records by the digest of their inputs; none of a dataset that is gone."""
        kept = self._listings.get(dataset_id)
        if dataset_id not in self._checked:
            seen = self._fingerprint(dataset_id)
            fresh = kept is not None and kept.fingerprint == seen and time.monotonic() - kept.at_s < LISTING_S
            if seen is None:
                kept = _Listing((), time.monotonic(), {})
            elif not fresh:
                loaded, _ = self._store._load_dataset_records(dataset_id, max_results=None)
                kept = _Listing(seen, time.monotonic(), {digest(one.inputs): _listed(one) for one in loaded})
            self._checked.add(dataset_id)
        assert kept is not None
        self._listings[dataset_id] = kept
        return kept.records

    def fitting(self, dataset_id: str, output: Any) -> Any:
        """An output as the dataset can take it (see :func:`sinks.mlflow.answers.fitting`)."""
        return fitting(output, self._outputs.get(dataset_id) or {})

    def merge(self, dataset_id: str, records: Sequence[dict[str, Any]]) -> None:
        """Insert or update records by their inputs, in as few requests as their sizes allow."""
        known = self.listing(dataset_id)
        for part in _parts(records):
            self._store.upsert_dataset_records(dataset_id, opened(part, self._outputs.get(dataset_id)))
            for record in part:
                key = digest(record["inputs"])
                before = known.get(key, ListedRecord(record["inputs"], {}, {}, {}))
                known[key] = replace(
                    before,
                    outputs=record.get("outputs", before.outputs),
                    expectations={**before.expectations, **record.get("expectations", {})},
                    tags={**before.tags, **record["tags"]},
                )
        self._written(dataset_id)

    def delete(self, dataset_id: str, digests: Sequence[str]) -> None:
        """Delete records by the digest of their inputs; those that are gone already are passed over."""
        known = self.listing(dataset_id)
        if any(key in known and not known[key].record_id for key in digests):
            self._listings.pop(dataset_id)
            self._checked.discard(dataset_id)
            known = self.listing(dataset_id)
        ids = [known[key].record_id for key in digests if key in known]
        for start in range(0, len(ids), _MAX_RECORDS):
            self._store.delete_dataset_records(dataset_id, ids[start : start + _MAX_RECORDS])
        for key in digests:
            known.pop(key, None)
        self._written(dataset_id)

    def remove_if_empty(self, dataset_id: str) -> bool:
        """Delete a dataset that we made and in which nothing is left; whether it did.

        One that a person made, or gave tags of their own, stays, and so does one with any record.
        """
        if self._fingerprint(dataset_id) is None:
            return False
        tags = self._store.get_dataset(dataset_id).tags or {}
        others = [key for key in tags if key not in OURS and not key.startswith("mlflow.")]
        records, _ = self._store._load_dataset_records(dataset_id, max_results=1)
        if records or others or not OURS.items() <= tags.items():
            return False
        self._store.delete_dataset(dataset_id)
        return True

    def _written(self, dataset_id: str) -> None:
        self._listings[dataset_id].fingerprint = self._fingerprint(dataset_id) or ()

    def _fingerprint(self, dataset_id: str) -> tuple[Any, ...] | None:
        """What changes when anybody writes to the dataset; None if it is gone."""
        from mlflow.exceptions import MlflowException

        try:
            seen = self._store.get_dataset(dataset_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        self._outputs[dataset_id] = schema_of_outputs(seen.schema)
        return (seen.last_update_time, seen.digest, seen.profile)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON: of inputs, the key MLflow itself merges by."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _listed(record: Any) -> ListedRecord:
    tags = {str(key): str(value) for key, value in (record.tags or {}).items()}
    return ListedRecord(
        record.inputs, record.outputs, dict(record.expectations or {}), tags, str(record.dataset_record_id)
    )


def _parts(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for record in records:
        length = len(json.dumps(record))
        if part and (len(part) >= _MAX_RECORDS or size + length > _MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part

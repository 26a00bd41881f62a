"""Evaluation datasets as they stand on an MLflow server, whole, with people's edits; read only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sinks.errors import RetryLater
from sinks.mlflow.server import classify_error, client

_PAGE = 200  # records a request: each may hold megabytes
_READS = 5  # of a dataset that others write to meanwhile


@dataclass(frozen=True)
class ServedRecord:
    """A record as the server shows it; ``source`` is what MLflow calls that, ``source_type, source_data``."""

    inputs: dict[str, Any]
    outputs: Any
    expectations: dict[str, Any]
    tags: dict[str, Any]
    source: dict[str, Any] | None


@dataclass(frozen=True)
class ServedDataset:
    """A dataset that is there; ``mark`` changes whenever anybody writes to it.  People may have put it into
    several experiments.
    """

    dataset_id: str
    name: str
    created_ms: int
    experiment_ids: tuple[str, ...]
    mark: tuple[Any, ...]


class ServedDatasets:
    """Reads datasets by their ids; use it from one thread. Every method raises ``SinkError`` where the server
    fails.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._client = client(tracking_uri)
        # A dataset's own methods ask the process-wide tracking URI.
        self._store = self._client._tracking_client.store

    def dataset(self, dataset_id: str) -> ServedDataset | None:
        """The dataset of that id; None where it is gone."""
        from mlflow.exceptions import MlflowException

        try:
            seen = self._store.get_dataset(dataset_id)
            ids = self._store.get_dataset_experiment_ids(dataset_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise classify_error(error) from error
        mark = (seen.last_update_time, seen.digest, seen.profile)
        return ServedDataset(
            dataset_id, str(seen.name), int(seen.created_time), tuple(sorted(map(str, ids))), mark
        )

    def experiment(self, experiment_id: str) -> str:
        """The name of an experiment; "" where it is gone."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_experiment(experiment_id).name) if experiment_id else ""
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return ""
            raise classify_error(error) from error

    def records(self, dataset: ServedDataset) -> tuple[ServedDataset, list[ServedRecord]]:
        """All records of one moment: they are read again where others wrote meanwhile; with the dataset as it
        was then.

        Raises:
            RetryLater: others never stop writing.
        """
        before: ServedDataset | None = dataset
        for _ in range(_READS):
            if before is None:
                break
            found = self._read(before.dataset_id)
            after = self.dataset(before.dataset_id)
            if after is not None and after.mark == before.mark:
                return after, found
            before = after
        raise RetryLater(f"the dataset {dataset.name} changed each time that it was read")

    def _read(self, dataset_id: str) -> list[ServedRecord]:
        from mlflow.exceptions import MlflowException

        found: list[ServedRecord] = []
        token: str | None = None
        try:
            while True:
                page, token = self._store._load_dataset_records(dataset_id, _PAGE, token)
                found += map(_served, page)
                if not token:
                    return found
        except MlflowException as error:
            raise classify_error(error) from error


def _served(record: Any) -> ServedRecord:
    source: Mapping[str, Any] | None = record.source.to_dict() if record.source is not None else None
    return ServedRecord(
        record.inputs,
        record.outputs,
        dict(record.expectations or {}),
        dict(record.tags or {}),
        dict(source) if source is not None else None,
    )

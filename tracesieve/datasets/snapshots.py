"""Versions of the living datasets: their records as they stand on the MLflow server, with people's edits.

The server is read, never written.  What the store already has is not written again, so a repeat of what was
cut short ends at the same versions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sinks.mlflow.served import ServedDataset, ServedDatasets
from store import Store
from store.dataset_versions import DatasetVersions, Place, StoredVersion
from tracesieve.datasets.record import normalised
from tracesieve.datasets.versions import full_name, take

NoteOf = Callable[[Place], Mapping[str, Any]]  # what is noted of a dataset beside its content


@dataclass
class Snapshots:
    """Takes versions of the datasets that hold, or held, records of this store. Use it from one thread of the
    process that holds the store's lease.
    """

    store: Store
    served: ServedDatasets
    note_of: NoteOf = lambda _place: {}
    _marks: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # by id, as it was at its last version

    def take(self, names: Collection[str], now_us: int) -> list[StoredVersion]:
        """Take a version of each of these datasets (none: of all) that is there and has changed; what was
        taken.

        Raises:
            SinkError: the server failed; what was taken before that is kept.
            StoreUnwritable: the store cannot be written.
        """
        taken = (
            self._take(place, dataset, now_us)
            for place, dataset in self._living()
            if not names or {place.dataset, full_name(place)} & set(names)
        )
        return [one for one in taken if one is not None]

    def _living(self) -> Iterator[tuple[Place, ServedDataset]]:
        """The datasets that are there, each once by name and experiment: the oldest, as records go there."""
        ids = self.store.table("records").read(["dataset_id"])["dataset_id"].unique().sort()
        there = [one for one in map(self.served.dataset, ids) if one is not None]
        homes = {one.dataset_id: one.place.experiment_id for one in DatasetVersions(self.store).all()}
        seen: set[tuple[str, str]] = set()
        for one in sorted(there, key=lambda one: (one.name, one.created_ms, one.dataset_id)):
            home = homes.get(one.dataset_id)
            experiment_id = home if home in one.experiment_ids else next(iter(one.experiment_ids), "")
            place = Place(one.name, experiment_id, self.served.experiment(experiment_id))
            if place.key not in seen:
                seen.add(place.key)
                yield place, one

    def _take(self, place: Place, dataset: ServedDataset, now_us: int) -> StoredVersion | None:
        if self._marks.get(dataset.dataset_id) == dataset.mark:
            return None
        read, rows = self.served.records(dataset)
        records = (
            normalised(one.inputs, one.outputs, one.expectations, one.tags, one.source) for one in rows
        )
        new = take(self.store, place, dataset.dataset_id, records, now_us, self.note_of(place))
        self._marks[dataset.dataset_id] = read.mark
        return new

"""Records that leave a dataset: deleted by us, or moved to the record of other inputs.

A deletion of ours is announced in the store before it is made (:data:`sinks.mlflow.records.LEAVING`), so that
one cut short is finished and never mistaken for a person's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sinks.mlflow.dataset_server import DatasetServer
from sinks.mlflow.provenance import edited, withdrawn_tags
from sinks.mlflow.records import LEAVING, RecordKey, Records


def delete(server: DatasetServer, records: Records, keys: Sequence[RecordKey]) -> None:
    """Delete announced records, or tag them as withdrawn where a person made them theirs; the announcement
    goes last.

    Of a record that was moved the edits are in the other one: it is deleted whoever edited it.
    """
    by_dataset: dict[str, list[RecordKey]] = defaultdict(list)
    for key in keys:
        by_dataset[key.dataset_id].append(key)
    for dataset_id, group in by_dataset.items():
        listing = server.listing(dataset_id)
        there = [key for key in group if key.record in listing]
        kept = [key for key in there if edited(listing[key.record]) and not records.was_moved(key)]
        if kept:
            tags = withdrawn_tags()
            rows = [{"inputs": listing[key.record].inputs, "tags": tags} for key in kept]
            server.merge(dataset_id, rows)
        if ours := [key.record for key in there if key not in kept]:
            server.delete(dataset_id, ours)
    records.change({key: {LEAVING: None} for key in keys})

"""What records of ours are there, and what becomes of datasets once none is left in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sinks.base import Payload, Sink
from sinks.mlflow.dataset_server import DatasetServer
from sinks.mlflow.records import GONE, LEAVING, Records
from sinks.mlflow.server import classify_error
from sinks.shown import Holding
from store import Store


class Leftovers(Sink):
    """The part of the datasets' sink that ``undo`` asks before and after it takes records back."""

    server: DatasetServer
    _records: Records

    @classmethod
    def holdings(cls, store: Store, delivered: Mapping[str, Payload]) -> Iterator[Holding]:
        """Every record, once for each of its traces."""
        records = Records(store.table("records"))
        for trace_id in records.traces() - {LEAVING, GONE}:
            for key in records.of_trace(trace_id):
                yield Holding("record", trace_id, key.record, place=key.dataset, place_id=key.dataset_id)

    def remove_empty(self) -> list[str]:
        """Delete the datasets that we made and in which no record is left, anybody's.

        One in which a person deleted a record of ours stays: that decision is remembered with it.

        Raises:
            RetryLater, Refused: MLflow failed.
        """
        from mlflow.exceptions import MlflowException

        in_use = self._records.in_use()
        todo = sorted((name, one) for one, name in self._records.datasets().items() if one not in in_use)
        try:
            return [name for name, dataset_id in todo if self.server.remove_if_empty(dataset_id)]
        except MlflowException as error:
            raise classify_error(error) from error

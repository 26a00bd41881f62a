"""What an MLflow server has: its experiments and how many traces each holds; for ``tracesieve init``, never
for a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.errors import SourceError
from streams.sources.mlflow.client import MlflowReader

MOST = 200  # experiments whose traces are counted, the ones that were changed last


@dataclass(frozen=True)
class Surveyed:
    """One experiment; ``traces`` is None where the server cannot count them."""

    id: str
    name: str
    traces: int | None


def survey(tracking_uri: str) -> list[Surveyed]:
    """The experiments of a server, those with most traces first.

    Raises:
        SourceDown: no server, no access.
    """
    from mlflow import MlflowClient

    reader = MlflowReader(tracking_uri)
    found = reader._call(
        lambda _: MlflowClient(tracking_uri).search_experiments(
            max_results=MOST, order_by=["last_update_time DESC"]
        )
    )
    counted = [Surveyed(one.experiment_id, one.name, _traces(reader, one.experiment_id)) for one in found]
    return sorted(counted, key=lambda one: (-(one.traces or 0), one.name))


def _traces(reader: MlflowReader, experiment: str) -> int | None:
    from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

    def ask(client: Any) -> Any:
        return client.store.query_trace_metrics(
            experiment_ids=[experiment],
            view_type=MetricViewType.TRACES,
            metric_name="trace_count",
            aggregations=[MetricAggregation(AggregationType.COUNT)],
        )

    try:
        points = reader._call(ask)
    except (SourceError, NotImplementedError):
        return None  # an older server, or one that keeps traces elsewhere
    return sum(int(point.values["COUNT"]) for point in points)

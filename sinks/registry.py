"""The sinks there are: one file each, one line in :data:`SINKS`; and what the config tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sinks.alert_log import AlertLog
from sinks.alertmanager import Alertmanager, AlertmanagerConfig
from sinks.delivery import Delivery, Sink
from sinks.mlflow.datasets import DatasetsConfig, MlflowDatasets
from sinks.mlflow.tags import MlflowTags
from store import Store
from store.content import TraceTable
from store.outbox import Outbox


@dataclass(frozen=True)
class SinkContext:
    """What the config says of the sinks, and where they find what deliveries lack.

    ``tracking_uri`` is the MLflow server of tags and datasets (None: neither); ``datasets`` None: no
    datasets; ``own_experiments``: trace ids and experiment ids are those of that server, as they are when it
    is the source.
    """

    store: Store
    content: TraceTable
    tracking_uri: str | None = None
    tags: bool = True
    datasets: DatasetsConfig | None = None
    own_experiments: bool = True
    alertmanager: tuple[AlertmanagerConfig, ...] = ()
    own_url: str = ""


# A sink takes part when its function gives one; the name is that of its class, of its wishes and of its
# metrics.
SINKS: dict[str, Callable[[SinkContext], Sink | None]] = {
    AlertLog.name: lambda told: AlertLog(),
    Alertmanager.name: lambda told: (
        Alertmanager(told.alertmanager, own_url=told.own_url) if told.alertmanager else None
    ),
    MlflowTags.name: lambda told: MlflowTags(told.tracking_uri) if told.tracking_uri and told.tags else None,
    MlflowDatasets.name: lambda told: _datasets(told),
}


def _datasets(told: SinkContext) -> MlflowDatasets | None:
    if told.tracking_uri is None or told.datasets is None:
        return None
    return MlflowDatasets(
        told.tracking_uri, told.datasets, told.store, told.content, own_experiments=told.own_experiments
    )


def deliveries(
    told: SinkContext,
    outbox: Outbox,
    observe: Callable[[str, str, int], None] | None = None,
    *,
    only: Sequence[str] = (),
) -> list[Delivery]:
    """The deliveries that the config asks for, each for a thread of its own; ``only`` these sinks, if any are
    named.
    """
    made = [make(told) for name, make in SINKS.items() if not only or name in only]
    return [Delivery(sink, outbox, observe) for sink in made if sink is not None]

"""The sinks there are, a line each, and the questions that the program asks of all of them.

:data:`SINKS` is read at each question, so that a sink that a test adds to it is known everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sinks.alert_log import AlertLog
from sinks.alertmanager import Alertmanager
from sinks.base import ConfigKey, MessageKind, Payload, Sink, SinkConfig, SinkContext
from sinks.delivery import Delivery
from sinks.mlflow.datasets import MlflowDatasets
from sinks.mlflow.tags import MlflowTags
from store.outbox import Outbox

SINKS: dict[str, type[Sink]] = {
    AlertLog.name: AlertLog,
    Alertmanager.name: Alertmanager,
    MlflowTags.name: MlflowTags,
    MlflowDatasets.name: MlflowDatasets,
}


def config_keys() -> list[ConfigKey]:
    """The config keys that sinks bring."""
    return [key for sink in SINKS.values() for key in sink.config_keys]


def wanted(config: SinkConfig, *kinds: MessageKind, dry_run: bool = False) -> list[type[Sink]]:
    """The sinks that the config asks for, among those that consume one of ``kinds`` if any are given.

    In a dry run only those from which nothing leaves.
    """
    return [
        sink
        for sink in SINKS.values()
        if (not kinds or sink.consumes in kinds) and not (dry_run and sink.outside) and sink.wanted(config)
    ]


def consumers(kind: MessageKind) -> list[str]:
    """The names of all sinks that consume such messages, whatever a config asks for."""
    return [name for name, sink in SINKS.items() if sink.consumes is kind]


def deliveries(
    sinks: Sequence[type[Sink]],
    context: SinkContext,
    outbox: Outbox,
    observe: Callable[[str, str, int], None] | None = None,
) -> list[Delivery]:
    """A delivery for each of these sinks that the context can open, each for a thread of its own."""
    opened = (sink.open(context) for sink in sinks)
    return [Delivery(sink, outbox, observe) for sink in opened if sink is not None]


def withdrawing() -> list[type[Sink]]:
    """The sinks that can take back what they delivered."""
    return [sink for sink in SINKS.values() if sink.withdraws]


def is_withdrawal(sink: str, payload: Payload) -> bool:
    """Whether nothing is left to take back of a target once that message is delivered."""
    return sink in SINKS and SINKS[sink].is_withdrawal(payload)

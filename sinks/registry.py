"""The sinks there are, a line each, and the questions that the program asks of all of them.

:data:`SINKS` is read at each question, so that a sink that a test adds to it is known everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sinks.alert_log import AlertLog
from sinks.alertmanager import Alertmanager
from sinks.base import ALERT_KINDS, ConfigKey, MessageKind, Payload, Sink, SinkConfig, SinkContext
from sinks.delivery import Delivery
from sinks.mlflow.assessments import MlflowAssessments
from sinks.mlflow.datasets import MlflowDatasets
from sinks.mlflow.issues import MlflowIssues
from sinks.mlflow.tags import MlflowTags
from store.outbox import Outbox

SINKS: dict[str, type[Sink]] = {
    AlertLog.name: AlertLog,
    Alertmanager.name: Alertmanager,
    MlflowTags.name: MlflowTags,
    MlflowAssessments.name: MlflowAssessments,
    MlflowIssues.name: MlflowIssues,
    MlflowDatasets.name: MlflowDatasets,
}


def class_of(name: str) -> type[Sink] | None:
    """The class of a sink of that name, as messages name it; None: it is no longer in the registry."""
    return SINKS.get(name.partition("/")[0])


def config_keys() -> list[ConfigKey]:
    """The config keys that sinks bring."""
    return [key for sink in SINKS.values() for key in sink.config_keys]


def names(config: SinkConfig, *kinds: MessageKind, dry_run: bool = False) -> list[str]:
    """The sinks that the config asks for, among those that consume one of ``kinds`` if any are given.

    In a dry run only those from which nothing leaves.
    """
    return [
        name
        for sink in SINKS.values()
        if (not kinds or sink.consumes in kinds) and not (dry_run and sink.outside)
        for name in sink.names(config)
    ]


def receivers(config: SinkConfig) -> list[str]:
    """The sinks that the config asks for and that send alerts out of this machine."""
    return [name for name in names(config, *ALERT_KINDS) if (sink := class_of(name)) and sink.outside]


def resending(config: SinkConfig) -> list[str]:
    """The sinks that the config asks for whose other side forgets what is not sent again."""
    return [name for name in names(config) if (sink := class_of(name)) and sink.resends]


def consumes(name: str, kind: MessageKind) -> bool:
    """Whether a sink of that name consumes such messages."""
    sink = class_of(name)
    return sink is not None and sink.consumes is kind


def open_sinks(names: Iterable[str], context: SinkContext) -> list[Sink]:
    """The sinks of these names that the context can open."""
    classes = ((name, class_of(name)) for name in names)
    opened = (sink.open(context, name) for name, sink in classes if sink is not None)
    return [one for one in opened if one is not None]


def deliveries(
    names: Iterable[str],
    context: SinkContext,
    outbox: Outbox,
    observe: Callable[[str, str, int], None] | None = None,
) -> list[Delivery]:
    """A delivery for each of these sinks that the context can open, each for a thread of its own."""
    return [Delivery(sink, outbox, observe) for sink in open_sinks(names, context)]


def is_withdrawal(sink: str, payload: Payload) -> bool:
    """Whether nothing is left to take back of a target once that message is delivered."""
    found = class_of(sink)
    return found is not None and found.is_withdrawal(payload)

"""At least once: every message of the outbox is delivered, and one whose delivery a crash cut short again.

The contract of a sink, which is one outside system that takes messages: a tag, a dataset record, an alert.
A sink is a class below :class:`Sink` in a file of its own and one line in ``sinks/registry.py``.  The rest of
the program asks this contract and knows no sink by its name.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from rules.units import MINUTE_US
from sinks.errors import Refused, RetryLater
from sinks.shown import Holding, Mute
from store import Store
from store.content import TraceTable
from store.outbox import PendingMessage

Payload = dict[str, Any]  # what a message says, plain JSON data
SinkConfig = Mapping[str, Any]  # the values of all config keys that sinks bring, by their path


class MessageKind(enum.Enum):
    """What a message says.  A follower writes it once for each sink that consumes its kind.

    In the outbox only the newest message of a target waits; it replaces the older ones.
    """

    ALERT = "alert"
    """How an alert stands, if it is new enough to page anyone.  Target: the rule and the group.  Payload:
    ``status`` (firing, resolved), ``rule``, ``severity``, ``group`` (values by label), ``starts_us``,
    ``resolved_us``, ``value``, ``condition``, ``summary``, ``evidence`` (trace ids), ``episode``."""

    NOTIFICATION = "notification"
    """Each firing and each resolution.  Target: that one notification, so that none replaces another.
    Payload: that of an alert, ``paged``: false for one that pages nobody, and ``dry_run`` where that
    is why."""

    TAGS = "tags"
    """The tags that a trace should have.  Target: the trace id.  Payload: ``trace_id``, ``category`` or null,
    ``rules`` (ids)."""

    FINDINGS = "findings"
    """The rules that match a trace, for who writes more of them than tags.  Target and payload: those of
    ``TAGS``."""

    PATTERN = "pattern"
    """How an error pattern stands in an experiment.  Target: ``<experiment id>/<pattern>``.  Payload:
    ``status`` (open, resolved), ``experiment_id``, ``pattern`` (the fingerprint that was seen first),
    ``variants`` (all of them), ``text``, ``error_type``, ``span_type``, ``span_name``, ``traces``, ``recent``
    (of them in the last 24 h), ``handled`` (of ``traces``), ``first_us``, ``last_us``, ``back_us`` and
    ``silent_us`` (since when it is back, and until when it was seen before; or null), ``samples`` (trace
    ids)."""

    MEMBERSHIP = "membership"
    """The datasets that a trace should be in.  Target: the trace id.  Payload: ``trace_id``, ``start_us``,
    ``end_us``, ``experiment_id``, ``categories``: ``{name: {rules: [{rule, hash}], reason, person?}}``."""


ALERT_KINDS = (MessageKind.ALERT, MessageKind.NOTIFICATION)  # what a receiver of alerts consumes


@dataclass(frozen=True)
class ConfigKey:
    """A key of the config that a sink brings: at the top (``mlflow``) or in a group (``alerts.slack``).

    ``kind`` is its type as pydantic takes it.  A key below it that is named ``ca_file``, ``tls_cert`` or
    ``tls_key`` holds a path, relative to the config file.
    """

    path: str
    kind: Any
    default: Any
    description: str


@dataclass(frozen=True)
class SinkContext:
    """What a sink is opened with.

    ``trace_table`` opens the table that holds the content of traces; each sink opens its own, since a handle
    is for one thread.  ``own_experiments``: experiment ids in messages are those of the MLflow server in the
    config, because it is the source too.  ``own_url`` is the address of our ``/metrics``, or "".
    ``once_every_us``: how long it takes until the next ``run --once``; None: the run goes on.
    """

    config: SinkConfig
    store: Store
    trace_table: Callable[[], TraceTable]
    own_experiments: bool = True
    own_url: str = ""
    once_every_us: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one message: delivered (``result``: what was done, as JSON, for a person to read), or
    the error.
    """

    message: PendingMessage
    error: RetryLater | Refused | None = None
    result: str = ""


@dataclass(frozen=True)
class Probe:
    """What ``doctor`` shows of an outside system: what was found, and what to do where that is wrong."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    hint: str = ""


class Sink(ABC):
    """One outside system.  Delivering the same message twice must change nothing.

    Where the other side cannot know a repeat, send :attr:`OutboxMessage.key` along: it is the same each time.
    An instance is used by one thread at a time.
    """

    name: str
    """Its name in the registry, in the outbox and in metrics; stored, so it never changes.

    A class that serves several receivers, each with an outbox and a back-off of its own, has an instance for
    each; after the name of the class comes that of the receiver in the config: ``webhook/ops``.
    """

    consumes: ClassVar[MessageKind]

    config_keys: ClassVar[tuple[ConfigKey, ...]] = ()

    outside: ClassVar[bool] = True
    """False: nothing leaves this process, so that it also works in a dry run."""

    resends: ClassVar[bool] = False
    """Whether :meth:`resend` is to be called with the alerts that fire now."""

    withdraws: ClassVar[bool] = False
    """Whether :meth:`withdrawal` can take back what was delivered."""

    mutes: ClassVar[bool] = False
    """Whether :meth:`mute`, :meth:`muted` and :meth:`unmute` work."""

    @classmethod
    @abstractmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """The names of its instances that the config asks for: these get messages.  Mostly one or none."""

    @classmethod
    @abstractmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """The instance of that name, for one thread; None where the config lacks what it needs.

        ``undo`` also opens what the config does not ask for any more, to take back what it once delivered.
        """

    @classmethod
    def missing(cls, config: SinkConfig) -> dict[str, str]:
        """What a run needs and does not find, such as secrets and certificates, by the config key that names
        it.
        """
        return {}

    @classmethod
    def probe(cls, config: SinkConfig, timeout_s: float) -> Iterable[Probe]:
        """Ask the outside system whether it is there and lets us in; change nothing.

        ``timeout_s`` is for one call, where the client takes it from its caller (MLflow's takes it from the
        process).
        """
        return ()

    @classmethod
    def withdrawal(cls, target: str) -> Payload:
        """The payload that takes back everything that was delivered for a target."""
        raise NotImplementedError(f"{cls.name} cannot take anything back")

    @classmethod
    def is_withdrawal(cls, payload: Payload) -> bool:
        """Whether nothing is left to take back once this has been delivered."""
        return False

    @classmethod
    def holdings(cls, store: Store, delivered: Mapping[str, Payload]) -> Iterable[Holding]:
        """What the other side holds of us, for ``undo`` to show before it takes it back; without asking it.

        ``delivered``: by target, what was last delivered, where that was no withdrawal.
        """
        return ()

    def remove_empty(self) -> list[str]:
        """Remove what we made to hold our things, where nothing of anybody is left in it; the names.

        ``undo`` calls it once everything is taken back; repeated, there is nothing left to do.

        Raises:
            RetryLater: the other side cannot be reached.
        """
        return []

    @classmethod
    def test_messages(cls, now_us: int) -> Sequence[PendingMessage]:
        """What ``tracesieve alerts test`` delivers, in this order; none for a sink that takes no alerts."""
        return ()

    @property
    def destinations(self) -> Sequence[str]:
        """Where it delivers to, such as URLs, for a person to read."""
        return (self.name,)

    @abstractmethod
    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Deliver messages of different targets, in any order; one outcome each, none for those that were not
        tried.

        Raises:
            RetryLater: the other side cannot take any of them now.
        """

    def resend(self, firing: Mapping[str, Payload]) -> None:
        """Deliver again what the other side would forget by itself; ``firing`` is by target.

        Raises:
            RetryLater: the other side did not take it; the next call tries again.
        """
        raise NotImplementedError(f"{self.name} delivers nothing again")

    def mute(self, rule: str, group: Mapping[str, str], from_us: int, until_us: int) -> Iterator[str]:
        """Let the other side page nobody for a rule, or for one group of it, during that time; yields each
        place where it was muted.

        Raises:
            SinkError: the other side, or one of several, did not take it.
        """
        raise NotImplementedError(f"{self.name} cannot mute")

    def muted(self) -> list[Mute]:
        """The mutes of single rules that stand or are to come, whoever made them.

        Raises:
            SinkError: the other side, or one of several, did not answer.
        """
        raise NotImplementedError(f"{self.name} cannot mute")

    def unmute(self, mute: Mute) -> None:
        """End a mute of :meth:`muted`.

        Raises:
            SinkError: the other side did not take it.
        """
        raise NotImplementedError(f"{self.name} cannot mute")


def sample_alerts(sink: str, now_us: int) -> list[PendingMessage]:
    """The test alert for a sink that takes alerts: firing, then resolved."""
    alert = {
        "rule": "tracesieve-test",
        "severity": "info",
        "group": {},
        "starts_us": now_us - 10 * MINUTE_US,
        "resolved_us": now_us,
        "value": None,
        "condition": "",
        "summary": "A test alert of tracesieve",
        "evidence": [],
        "episode": "test",
        "paged": True,
    }
    return [
        PendingMessage(sink, "test", {**alert, "status": status}, seq)
        for seq, status in enumerate(("firing", "resolved"))
    ]

"""Who gets alerts, besides the log: the sinks of the config that send them out of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sinks import registry
from sinks.base import ALERT_KINDS
from sinks.errors import RetryLater, SinkError
from store import Store
from tracesieve.config.loading import missing
from tracesieve.config.sink_context import sink_context
from tracesieve.errors import ConfigError, OutsideError, TracesieveError

if TYPE_CHECKING:
    from sinks.base import Sink
    from tracesieve.config.settings import Settings


def receivers(settings: Settings) -> list[Sink]:
    """The receivers, opened; none of them reads the store, which need not be there.

    Raises:
        ConfigError: a secret or a certificate of theirs is missing.
        TracesieveError: the config names no receiver.
    """
    if problems := [one for one in missing(settings) if one.path[:1] == ("alerts",)]:
        raise ConfigError(problems)
    context = sink_context(settings, Store(settings.store_path))
    opened = registry.open_sinks(registry.receivers(settings.sinks), context)
    if not opened:
        of_alerts = [sink for sink in registry.SINKS.values() if sink.consumes in ALERT_KINDS]
        keys = ", ".join(key.path for sink in of_alerts for key in sink.config_keys)
        raise TracesieveError(f"there is no receiver of alerts in the config (it would be below {keys})")
    return opened


def send_test_alert(settings: Settings, now_us: int) -> Iterator[str]:
    """Send the test alert to every receiver; yields each place that took it.

    Raises:
        OutsideError: after all were tried, some did not take it.
        ConfigError, TracesieveError: see :func:`receivers`.
    """
    failed: list[SinkError] = []
    for sink in receivers(settings):
        error = _first_error(sink, now_us)
        if error is None:
            yield from sink.destinations
        else:
            failed.append(error)
    if failed:
        raise refused(failed)


def _first_error(sink: Sink, now_us: int) -> SinkError | None:
    """Deliver a sink's test messages one after the other, up to the first error."""
    for message in sink.test_messages(now_us):
        try:
            outcomes = sink.deliver([message])
        except RetryLater as error:
            return error
        if failure := next((one.error for one in outcomes if one.error is not None), None):
            return failure
    return None


def refused(failed: Sequence[SinkError]) -> OutsideError:
    """One message for all that did not take it: a line each, with what to mend."""
    return OutsideError("\n".join(line for error in failed for line in error.advice or [str(error)]))

"""What sinks are opened with, from the config: their keys, the store, and where the content of traces is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sinks.base import SinkContext
from tracesieve.config.trace_table import trace_table

if TYPE_CHECKING:
    from store import Store
    from tracesieve.config.settings import Settings


def sink_context(settings: Settings, store: Store, *, once: bool = False) -> SinkContext:
    """The context of every sink of this config; ``once``: for a ``run --once``."""
    return SinkContext(
        config=settings.sinks,
        store=store,
        trace_table=partial(trace_table, settings),
        own_experiments=settings.source.mlflow_ids,
        own_url=_own_url(settings),
        once_every_us=settings.alerts.once_every if once else None,
    )


def _own_url(settings: Settings) -> str:
    """Where our ``/metrics`` is; "" where there is none, or its port is not known before it listens."""
    fixed = settings.metrics is not None and not settings.metrics.listen.endswith(":0")
    return f"{settings.metrics.url}/metrics" if settings.metrics is not None and fixed else ""

"""Which MLflow server shows the traces of this config."""

from __future__ import annotations

from tracesieve.config.settings import Settings


def trace_server(settings: Settings) -> str | None:
    """The address of the source, or of the server that gets tags; None where neither has the traces."""
    of_source = getattr(settings.source, "tracking_uri", None)
    if of_source is not None:
        return str(of_source)
    target = settings.sinks.get("mlflow")
    return str(target.tracking_uri) if target is not None and target.tags else None

"""What tests of landing from an MLflow server share."""

from __future__ import annotations

import time
from pathlib import Path

from support.servers import MlflowServer

from store import open_store
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource


def now_us() -> int:
    return time.time_ns() // 1000


def source(server: MlflowServer, name: str, **more: object) -> MlflowSource:
    return MlflowSource.model_validate(
        {"kind": "mlflow", "tracking_uri": server.uri, "experiments": [name], **more}
    )


def complete(landing: MlflowLanding) -> int:
    """Up to where the landing of one experiment is complete."""
    (watermark,) = landing.watermarks()
    return watermark.through_us


def ids(folder: Path) -> list[str]:
    return open_store(str(folder)).table("traces").read(["trace_id"])["trace_id"].to_list()

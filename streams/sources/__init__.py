"""The sources there are: one file each, one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streams.errors import SourceError
from streams.sources.delta_traces.source import DeltaTracesSource
from streams.sources.mlflow.source import MlflowSource

SourceConfig = Annotated[MlflowSource | DeltaTracesSource, Field(discriminator="kind")]

__all__ = ["DeltaTracesSource", "MlflowSource", "SourceConfig", "SourceError"]

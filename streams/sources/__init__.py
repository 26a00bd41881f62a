"""The sources there are: one line each in :data:`SOURCES`.

It is read at each question, so that a source that a test adds to it is known everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Field

from streams.errors import SourceError
from streams.sources.base import InitOffer, Source, SourcePlace
from streams.sources.delta_traces.source import DeltaTracesSource
from streams.sources.mlflow.source import MlflowSource

SOURCES: list[type[Source]] = [
    MlflowSource,
    DeltaTracesSource,
]


def source_type() -> Any:
    """The type of the config's key ``source``, as pydantic takes it: a model for each ``kind``."""
    return Annotated[Union[tuple(SOURCES)], Field(discriminator="kind")]  # noqa: UP007 - made when asked


def init_offers() -> list[InitOffer]:
    """What ``tracesieve init`` can do, one for each kind of source."""
    return [source.offer for source in SOURCES]


__all__ = [
    "SOURCES",
    "DeltaTracesSource",
    "MlflowSource",
    "Source",
    "SourceError",
    "SourcePlace",
    "init_offers",
    "source_type",
]

"""The sources there are: an entry each in :data:`SOURCES`.

It is read at each question, so that a source that a test adds to it is known everywhere.  An entry names the
place of a source's class, which is imported when the class is asked for: the help of ``tracesieve init``
needs the offers alone.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union

from streams.sources.delta_traces.offer import DeltaTracesOffer
from streams.sources.mlflow.survey import MlflowOffer

if TYPE_CHECKING:
    from streams.sources.base import Source
    from streams.sources.offer import InitOffer


@dataclass(frozen=True)
class Entry:
    """A source by the place of its class (``module:name``), and what it offers to ``init``."""

    place: str
    offer: InitOffer

    def load(self) -> type[Source]:
        """The class of the source."""
        module, _, name = self.place.partition(":")
        found: type[Source] = getattr(importlib.import_module(module), name)
        return found


SOURCES: list[Entry] = [
    Entry("streams.sources.mlflow.source:MlflowSource", MlflowOffer()),
    Entry("streams.sources.delta_traces.source:DeltaTracesSource", DeltaTracesOffer()),
]


def source_type() -> Any:
    """The type of the config's key ``source``, as pydantic takes it: a model for each ``kind``."""
    from pydantic import Field

    models = tuple(one.load() for one in SOURCES)
    return Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007 - made when asked


def init_offers() -> list[InitOffer]:
    """What ``tracesieve init`` can do, one for each kind of source."""
    return [one.offer for one in SOURCES]


__all__ = ["SOURCES", "Entry", "init_offers", "source_type"]

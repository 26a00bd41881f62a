"""The store's own table ``traces`` as what the query reads: the table of every source that lands.

Its rows say when they were landed, nothing is deleted from it but what has expired, and the stream is its
only reader of old versions.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.checkpoint import needed_version
from streams.delta_log import Arrivals
from streams.sources.base import QueryTable, SourcePlace


@dataclass(frozen=True)
class LandedTable(QueryTable):
    """The store's table ``traces``."""

    uri: str = ""

    @classmethod
    def of(cls, place: SourcePlace) -> LandedTable:
        """That of a store."""
        return cls(f"{place.store_path.rstrip('/')}/traces")

    def arrivals(self, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
        """Nothing to add: every row has its ``landed_us``, and rows that have expired were counted long
        ago.
        """
        return Arrivals({}, 0)

    def needed_version(self, checkpoint: str) -> int | None:
        """What a start of the stream asks for."""
        return needed_version(checkpoint)

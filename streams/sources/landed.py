"""The two tables of the store that a landing writes: ``traces``, which the query then reads, and
``landing``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.final_through import Watermark
from streams.checkpoint import needed_version
from streams.delta_log import Arrivals
from streams.sources.base import QueryTable, SourcePlace

if TYPE_CHECKING:
    from store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandedTable(QueryTable):
    """The store's table ``traces`` as what the query reads.

    Its rows say when they were landed, nothing is deleted from it but what has expired, and the stream is the
    only reader of its old versions.
    """

    uri: str = ""

    @classmethod
    def of(cls, place: SourcePlace) -> LandedTable:
        """That of a store."""
        return cls(f"{place.store_path.rstrip('/')}/traces")

    def arrivals(self, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
        """Nothing to add: every row has its ``landed_us``, and what has expired was counted long ago."""
        return Arrivals({}, 0)

    def needed_version(self, checkpoint: str) -> int | None:
        """What a start of the stream asks for."""
        return needed_version(checkpoint)


@dataclass(frozen=True)
class LandingRow:
    """A row of ``landing``: what was done about a part of the source, such as an experiment; times in µs.

    ``kind`` is what the row is for: a ``slice`` of end time, a piece of the ``backlog`` before the first
    slice, a ``sweep`` for later changes; a ``reconcile`` found everything up to ``to_us``, a ``recount`` as
    well, though a backlog is still to be read.
    """

    part: str
    kind: str
    from_us: int
    to_us: int
    at_us: int
    landed: int = 0
    skipped: int = 0
    in_progress: int = 0
    missed: int = 0


class LandingTables:
    """Writes both tables of a store, for one landing and one thread.

    A kill between the rows and the row of ``landing`` that goes with them only makes the next run land again.
    """

    def __init__(self, store: Store, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._traces, self._landing = store.table("traces"), store.table("landing")
        self._clock = clock
        landed = self._traces.read(["landed_us"])["landed_us"].max()
        recorded = self._landing.read(["landed_through_us"])["landed_through_us"].max()
        self._landed_us = max(int(one) if isinstance(one, int) else 0 for one in (landed, recorded))

    @property
    def landed_us(self) -> int:
        """The greatest ``landed_us`` of any row so far."""
        return self._landed_us

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows of ``traces`` in one commit; their ``landed_us`` is greater than that of any before.

        Raises:
            StoreUnwritable: the place cannot be written.
        """
        landed_us = max(self._clock(), self._landed_us + 1)
        self._traces.append([{**row, "landed_us": landed_us} for row in rows])
        self._landed_us = landed_us

    def record(self, row: LandingRow) -> None:
        """Append a row of ``landing``, after the rows of ``traces`` that it counts."""
        columns = {name: value for name, value in vars(row).items() if name != "part"}
        full = {"experiment_id": row.part, **columns, "landed_through_us": self._landed_us}
        self._landing.append([full])
        log.debug("landing %s: %s", row.kind, full)

    def watermark(self, part: str, through_us: int) -> Watermark:
        """All that ended by ``through_us`` in that part is in the rows so far."""
        return Watermark(part, through_us, self._landed_us)

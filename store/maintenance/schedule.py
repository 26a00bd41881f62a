"""Which table is maintained when (SEMANTICS 10, 19)."""

from __future__ import annotations

import logging

from store.batches import is_half_written
from store.maintenance import compact
from store.maintenance.clean import Vacuum, shorten_log
from store.maintenance.coarsen import coarsen
from store.maintenance.expire import Expiration
from store.maintenance.needs import MaintenanceNeeds
from store.schemas import TABLES
from store.store import Store

log = logging.getLogger(__name__)


class Maintenance:
    """Maintains the tables of one store; whoever calls it holds the store's lease. Use it from one thread."""

    def __init__(self, store: Store, needs: MaintenanceNeeds) -> None:
        self._store, self._needs = store, needs
        self._expiration, self._vacuum = Expiration(store, needs), Vacuum(needs.source_next)
        self._turn = 0
        self._maintained: dict[str, int] = {}  # by table: its version when it was maintained last

    def step(self, now_us: int) -> list[str]:
        """Maintain the next table, and before it the one that has grown most if that is due; what was done,
        for the log.
        """
        name = list(TABLES)[self._turn % len(TABLES)]
        self._turn += 1
        grown = {
            other: self._store.table(other).version() - self._maintained.get(other, 0) for other in TABLES
        }
        most = max(grown, key=lambda other: grown[other])
        first = [most] if grown[most] >= compact.SMALL_FILES and most != name else []
        return [line for one in (*first, name) for line in self.maintain(one, now_us)]

    def all(self, now_us: int) -> list[str]:
        """Maintain every table; a store that needs nothing is not written."""
        return [line for name in TABLES for line in self.maintain(name, now_us)]

    def maintain(self, name: str, now_us: int) -> list[str]:
        """Expire, coarsen, compact and clean one table, each if it is due.

        A table that a batch has half written is left alone: the commit of its facts is still to be read.

        Raises:
            OSError, DeltaError: the place cannot be written; nothing is lost, and the next call tries again.
        """
        table = self._store.table(name)
        if table.version() < 0 or (TABLES[name].writer == "batch" and is_half_written(self._store)):
            return []
        self._maintained[name] = table.version()
        done = self._expiration.expire(name, now_us)
        if name == "windows":
            done += coarsen(table, self._needs, now_us)
        compacted = compact.compact(table)
        shorten_log(name, table, due=bool(compacted))
        done += compacted + self._vacuum.vacuum(name, table, now_us)
        for line in done:
            log.info("%s: %s", name, line)
        return [f"{name}: {line}" for line in done]

    def cutoff(self, name: str, now_us: int) -> int | None:
        """Rows of that table before this time go at ``now_us`` (µs); None: it never expires."""
        return self._expiration.cutoff(name, now_us)

"""Which trace is a source of which dataset record: the store's changelog ``records``, held in memory by its one writer.

Two markers stand in for a trace id: ``LEAVING`` announces a deletion of ours before it is made, so that one cut short is
finished and never mistaken for a person's; ``GONE`` remembers that a person deleted the record.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from store import Table

LEAVING, GONE = "~leaving", "~gone"


class Key(NamedTuple):
    """One record: its dataset's name and id, and the digest of its inputs."""

    dataset: str
    dataset_id: str
    record: str


@dataclass(frozen=True)
class Source:
    """One trace's share in a record; ``rules`` are (id, hash)."""

    trace_id: str
    end_us: int
    rules: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class Records:
    """The netted changelog; every change is one commit."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._by_key: dict[Key, dict[str, Source]] = {}
        for row in table.read().sort("at_us", maintain_order=True).iter_rows(named=True):
            key = Key(row["dataset"], row["dataset_id"], row["record"])
            rules = tuple((hit["rule"], hit["hash"]) for hit in row["rules"] or [])
            self._change(key, Source(row["trace_id"], row["end_us"], rules, row["reason"] or ""), row["weight"])

    def sources(self, key: Key) -> dict[str, Source]:
        """The traces that stand behind a record, by id."""
        return {t: s for t, s in self._by_key.get(key, {}).items() if t not in (LEAVING, GONE)}

    def of_trace(self, trace_id: str) -> list[Key]:
        """The records a trace is a source of."""
        return [key for key, sources in self._by_key.items() if trace_id in sources]

    def traces(self) -> set[str]:
        """Every trace that is a source of any record."""
        return {trace for key in self._by_key for trace in self.sources(key)}

    def leaving(self) -> list[Key]:
        """The records whose deletion was announced and not yet made."""
        return [key for key, sources in self._by_key.items() if LEAVING in sources]

    def is_gone(self, key: Key) -> bool:
        """Whether a person deleted it."""
        return GONE in self._by_key.get(key, {})

    def put(self, key: Key, source: Source, *, gone: bool = False) -> None:
        """Add a source, or replace what it said."""
        old = self._by_key.get(key, {}).get(source.trace_id)
        rows = [(-1, old)] if old is not None else []
        self._write(key, [*rows, (1, source), *self._mark(key, GONE, gone)])

    def drop(self, key: Key, trace_id: str, *, leaving: bool = False, gone: bool = False) -> None:
        """Take a source away."""
        old = self._by_key[key][trace_id]
        self._write(key, [(-1, old), *self._mark(key, LEAVING, leaving), *self._mark(key, GONE, gone)])

    def left(self, key: Key) -> None:
        """The announced deletion was made."""
        self._write(key, [(-1, Source(LEAVING, 0))])

    def _mark(self, key: Key, mark: str, wanted: bool) -> list[tuple[int, Source]]:
        return [(1, Source(mark, 0))] if wanted and mark not in self._by_key.get(key, {}) else []

    def _write(self, key: Key, changes: list[tuple[int, Source]]) -> None:
        now = time.time_ns() // 1000
        rows: list[dict[str, Any]] = [
            {"weight": weight, **key._asdict(), "trace_id": one.trace_id, "end_us": one.end_us, "reason": one.reason,
             "rules": [{"rule": rule, "hash": version} for rule, version in one.rules], "at_us": now}
            for weight, one in changes
        ]  # fmt: skip
        self._table.append(rows)
        for weight, one in changes:
            self._change(key, one, weight)

    def _change(self, key: Key, source: Source, weight: int) -> None:
        sources = self._by_key.setdefault(key, {})
        if weight > 0:
            sources[source.trace_id] = source
        else:
            sources.pop(source.trace_id, None)
        if not sources:
            del self._by_key[key]

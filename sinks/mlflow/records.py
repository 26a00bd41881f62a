"""Which trace is a source of which dataset record: the store's changelog ``records``, held in memory by its
one writer.

Two markers stand in for a trace id: ``LEAVING`` announces a deletion of ours before it is made, so that one
cut short is finished and never mistaken for a person's; ``GONE`` remembers that a person deleted the record.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store import Table

LEAVING, GONE = "~leaving", "~gone"
_MOVED = "moved"  # the reason of an announced deletion: what a person gave the record is in another one
PERSON = "~person"  # in the place of a rule: a person named the trace a candidate


class RecordKey(NamedTuple):
    """One record: its dataset's name and id, and the digest of its inputs."""

    dataset: str
    dataset_id: str
    record: str


@dataclass(frozen=True)
class RecordSource:
    """One trace's share in a record; ``rules`` are (id, hash)."""

    trace_id: str
    end_us: int
    rules: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class Records:
    """The netted changelog."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._by_key: dict[RecordKey, dict[str, RecordSource]] = {}
        self._by_trace: dict[str, set[RecordKey]] = {}
        self._last_us = 0
        for row in table.read().sort("at_us", maintain_order=True).iter_rows(named=True):
            key = RecordKey(row["dataset"], row["dataset_id"], row["record"])
            rules = tuple((hit["rule"], hit["hash"]) for hit in row["rules"] or [])
            self._change(
                key, RecordSource(row["trace_id"], row["end_us"], rules, row["reason"] or ""), row["weight"]
            )
            self._last_us = row["at_us"]

    def sources(self, key: RecordKey) -> dict[str, RecordSource]:
        """The traces that stand behind a record, by id."""
        return {t: s for t, s in self._by_key.get(key, {}).items() if t not in (LEAVING, GONE)}

    def of_trace(self, trace_id: str) -> list[RecordKey]:
        """The records a trace is a source of."""
        return sorted(self._by_trace.get(trace_id, ()))

    def traces(self) -> set[str]:
        """Every trace that is a source of any record."""
        return set(self._by_trace) - {LEAVING, GONE}

    def datasets(self) -> dict[str, str]:
        """The names, by id, of all datasets that ever held a record of ours."""
        return dict(self._table.read(["dataset_id", "dataset"]).unique().iter_rows())

    def in_use(self) -> set[str]:
        """The ids of those that hold one now, or of which a person deleted one: that is remembered by id."""
        return {key.dataset_id for key in self._by_key}

    def leaving(self) -> list[RecordKey]:
        """The records whose deletion was announced and not yet made."""
        return sorted(self._by_trace.get(LEAVING, ()))

    def was_moved(self, key: RecordKey) -> bool:
        """Whether its deletion was announced because another record took its place."""
        marker = self._by_key.get(key, {}).get(LEAVING)
        return marker is not None and marker.reason == _MOVED

    def known(self) -> list[RecordKey]:
        """Every record that has a source or a marker."""
        return sorted(self._by_key)

    def is_gone(self, key: RecordKey) -> bool:
        """Whether a person deleted it."""
        return GONE in self._by_key.get(key, {})

    def change(self, changes: Mapping[RecordKey, Mapping[str, RecordSource | None]]) -> None:
        """Put sources into records, or take them out (None), by trace id or marker; all in one commit."""
        rows: list[tuple[int, RecordKey, RecordSource]] = []
        for key, sources in changes.items():
            before = self._by_key.get(key, {})
            for trace_id, source in sources.items():
                if before.get(trace_id) == source:
                    continue
                if trace_id in before:
                    rows.append((-1, key, before[trace_id]))
                if source is not None:
                    rows.append((1, key, source))
        self._last_us = max(
            time.time_ns() // 1000, self._last_us + 1
        )  # rises also when the clock is set back
        self._table.append(_rows(rows, self._last_us))
        for weight, key, one in rows:
            self._change(key, one, weight)

    def _change(self, key: RecordKey, source: RecordSource, weight: int) -> None:
        sources = self._by_key.setdefault(key, {})
        if weight > 0:
            sources[source.trace_id] = source
            self._by_trace.setdefault(source.trace_id, set()).add(key)
        else:
            sources.pop(source.trace_id, None)
            keys = self._by_trace.get(source.trace_id, set())
            keys.discard(key)
            if not keys:
                self._by_trace.pop(source.trace_id, None)
        if not sources:
            del self._by_key[key]


def marked(marker: str) -> dict[str, RecordSource | None]:
    """A marker as a change to a record."""
    return {marker: RecordSource(marker, 0)}


def moved() -> dict[str, RecordSource | None]:
    """The announcement that a record is deleted because another one took its place."""
    return {LEAVING: RecordSource(LEAVING, 0, reason=_MOVED)}


def _rows(changes: Sequence[tuple[int, RecordKey, RecordSource]], at_us: int) -> list[dict[str, Any]]:
    return [
        {
            "weight": weight,
            **key._asdict(),
            "trace_id": one.trace_id,
            "end_us": one.end_us,
            "reason": one.reason,
            "rules": [{"rule": rule, "hash": version} for rule, version in one.rules],
            "at_us": at_us,
        }
        for weight, key, one in changes
    ]

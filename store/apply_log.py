"""Requests to apply the present rules to the past, and the pieces in which they are worked on.

A command appends a request; the process that holds the store's lease works on it, a piece at a time.  Each
piece is a batch of the stream :data:`APPLY`, numbered on through all requests, and counts once its end row is
in ``batches``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from store.store import Store

APPLY = "apply"  # the stream of all pieces
_COUNTS = ("traces", "changed", "regrouped", "gone", "uncounted")


@dataclass(frozen=True)
class ApplyRequest:
    """Which rules (ids; none: all) on the traces that ended in [``from_us``, ``to_us``)."""

    request_id: str
    rules: tuple[str, ...]
    from_us: int
    to_us: int
    asked: str
    asked_us: int

    def reaches(self, rule_id: str) -> bool:
        """Whether it applies that rule."""
        return not self.rules or rule_id in self.rules


@dataclass(frozen=True)
class ApplyPiece:
    """One piece of a request; ``rules`` are counts by rule id: before, after, gained, lost."""

    request_id: str
    batch_id: int
    rule_set_hash: str
    from_us: int
    to_us: int
    done: bool
    at_us: int
    traces: int = 0
    changed: int = 0
    regrouped: int = 0
    gone: int = 0
    uncounted: int = 0
    rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class ApplyLog:
    """Reads and writes the requests and pieces of one store; a read costs little while nothing changes."""

    def __init__(self, store: Store) -> None:
        self._requests, self._progress = store.table("apply_requests"), store.table("apply_progress")
        self._batches = store.table("batches")
        self._read_at = (-1, -1, -1)
        self._known: list[ApplyRequest] = []
        self._pieces: list[ApplyPiece] = []

    def put(self, request: ApplyRequest) -> None:
        """Append a request.

        Raises:
            StoreUnwritable: the place cannot be written.
        """
        self._requests.append([vars(request) | {"rules": list(request.rules)}])

    def begin(self, piece: ApplyPiece) -> None:
        """Append what a piece comes to, before its facts; a later row of the same batch takes its place."""
        self._progress.append([vars(piece) | {"rules": json.dumps(piece.rules, sort_keys=True)}])

    def requests(self) -> list[ApplyRequest]:
        """Every request, oldest first."""
        self._refresh()
        return self._known

    def open(self) -> list[ApplyRequest]:
        """The requests that are not done, oldest first."""
        done = {piece.request_id for piece in self.whole() if piece.done}
        return [one for one in self.requests() if one.request_id not in done]

    def whole(self, request_id: str | None = None) -> list[ApplyPiece]:
        """The pieces that are whole, of one request or of all, in the order of their batches."""
        self._refresh()
        return [one for one in self._pieces if request_id in (None, one.request_id)]

    def standing(self, request_id: str) -> list[ApplyPiece]:
        """The pieces of a request that were made with the same rules as its last one.

        Where other rules come into force, a request begins anew.
        """
        pieces = self.whole(request_id)
        return [one for one in pieces if one.rule_set_hash == pieces[-1].rule_set_hash]

    def of_batches(self, batch_ids: Collection[int]) -> list[ApplyPiece]:
        """The pieces of some batches."""
        return [one for one in self.whole() if one.batch_id in batch_ids]

    def half_written(self, batch_id: int) -> ApplyPiece | None:
        """The last attempt at a piece that is not whole."""
        rows = self._progress.read(where=pl.col("batch_id") == batch_id).sort("at_us", maintain_order=True)
        return _piece(rows.row(-1, named=True)) if rows.height else None

    def _refresh(self) -> None:
        ended = self._batches.app_version(f"batches:{APPLY}")
        through = -1 if ended is None else ended
        present = self._requests.version(), self._progress.version(), through
        if present == self._read_at:
            return
        requests = self._requests.read().sort("asked_us", "request_id")
        self._known = [
            ApplyRequest(**{**row, "rules": tuple(row["rules"] or ())})
            for row in requests.iter_rows(named=True)
        ]
        rows = self._progress.read(where=pl.col("batch_id") <= through).sort("at_us", maintain_order=True)
        last = rows.unique("batch_id", keep="last", maintain_order=True).sort("batch_id")
        self._pieces = [_piece(row) for row in last.iter_rows(named=True)]
        self._read_at = present


def _piece(row: Mapping[str, Any]) -> ApplyPiece:
    return ApplyPiece(**{**row, "rules": json.loads(str(row["rules"]))})


def summed(pieces: Collection[ApplyPiece]) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """The counts of some pieces together, and those by rule."""
    totals = {name: sum(getattr(one, name) for one in pieces) for name in _COUNTS}
    rules: dict[str, dict[str, int]] = {}
    for piece in pieces:
        for rule_id, counts in piece.rules.items():
            entry = rules.setdefault(rule_id, dict.fromkeys(("before", "after", "gained", "lost"), 0))
            for name in entry:
                entry[name] += counts[name]
    return totals, rules

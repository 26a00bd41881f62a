"""Versions of datasets and their records, as the store keeps them: written by one process, read by any.

Records are content-addressed: a text is written once, under its hash, and before the version that names it.
A version is one row, so it is there whole or not at all; texts of one that was cut short are found by the
next attempt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from store.errors import StoreError
from store.store import Store

_VERSIONS = "dataset_versions"
_COMMIT_BYTES, _COMMIT_RECORDS = 16 << 20, 1_000  # of the texts that are written at once
_READ_RECORDS = 500  # that are in memory at once
_HANDLED = "dataset_requests"  # its version is the time of the last request that was done


@dataclass(frozen=True)
class Place:
    """Which dataset: its name, and the id and the name of the experiment it is in."""

    dataset: str
    experiment_id: str
    experiment: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The same for all its versions; an experiment may get another name."""
        return self.dataset, self.experiment_id


@dataclass(frozen=True)
class StoredVersion:
    """One version: ``version`` is the hash of its content (64 hex digits), ``number`` rises with each one
    that is taken; ``records`` and ``sources`` are how many there are.
    """

    number: int
    place: Place
    dataset_id: str
    version: str
    at_us: int
    records: int
    sources: int
    note: Mapping[str, Any] = field(default_factory=dict)


class DatasetVersions:
    """Reads and writes the versions of one store; only who holds the store's lease may write."""

    def __init__(self, store: Store) -> None:
        self._versions, self._texts = store.table(_VERSIONS), store.table("dataset_records")
        self._read_at = -1
        self._known: list[StoredVersion] = []

    def all(self) -> list[StoredVersion]:
        """Every version that was taken, oldest first; a read costs little while there is no new one."""
        present = self._versions.version()
        if present != self._read_at:
            columns = [name for name in self._versions.spec.schema.names if name != "record_hashes"]
            rows = self._versions.read(columns).sort("number")
            self._known = [_version(row) for row in rows.iter_rows(named=True)]
            self._read_at = present
        return self._known

    def latest(self) -> dict[tuple[str, str], StoredVersion]:
        """The last version of each dataset, by the key of its place."""
        return {one.place.key: one for one in self.all()}

    def put(
        self,
        place: Place,
        dataset_id: str,
        version: str,
        texts: Sequence[str],
        *,
        sources: int,
        note: Mapping[str, Any],
        now_us: int,
    ) -> StoredVersion | None:
        """Append a version whose records are ``texts``; None, and nothing is written, where it is the last
        one already.

        Raises:
            StoreUnwritable: the place cannot be written; repeat it.
        """
        before = self.all()
        last = self.latest().get(place.key)
        if last is not None and last.version == version:
            return None
        hashes = self._put_texts(texts)
        taken = StoredVersion(
            number=before[-1].number + 1 if before else 0,
            place=place,
            dataset_id=dataset_id,
            version=version,
            at_us=max(now_us, before[-1].at_us + 1) if before else now_us,
            records=len(texts),
            sources=sources,
            note=note,
        )
        row = {
            **{name: value for name, value in vars(taken).items() if name != "place"},
            **vars(place),
            "record_hashes": hashes,
            "note": json.dumps(note, sort_keys=True),
        }
        self._versions.append([row], app_id=_VERSIONS, version=taken.number)
        return taken

    def texts(self, version: StoredVersion) -> Iterator[str]:
        """The records of a version as JSON texts, in its order, some at a time.

        Raises:
            StoreError: a record is missing.
        """
        hashes = self.hashes(version)
        for start in range(0, len(hashes), _READ_RECORDS):
            part = hashes[start : start + _READ_RECORDS]
            found = self.of_hashes(part)
            if lacking := [one for one in part if one not in found]:
                raise StoreError(f"{self._texts.uri} lacks the record {lacking[0]} of {version.version}")
            yield from (found[one] for one in part)

    def hashes(self, version: StoredVersion) -> list[str]:
        """The hashes of the records of a version, in its order."""
        rows = self._versions.read(["record_hashes"], pl.col("number") == version.number)
        return list(rows.row(0)[0] or ()) if rows.height else []

    def of_hashes(self, hashes: Collection[str]) -> dict[str, str]:
        """The texts of some records by their hash."""
        wanted = pl.col("record_hash").is_in(list(hashes))
        return dict(self._texts.read(["record_hash", "text"], wanted).iter_rows()) if hashes else {}

    def _put_texts(self, texts: Sequence[str]) -> list[str]:
        """Append the texts that are not there, in commits of bounded size; the hashes of all of them."""
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        known = set(self._texts.read(["record_hash"])["record_hash"])
        part: list[dict[str, str]] = []
        size = 0
        for name, text in zip(hashes, texts, strict=True):
            if name in known:
                continue
            if part and (len(part) >= _COMMIT_RECORDS or size + len(text) > _COMMIT_BYTES):
                self._texts.append(part)
                part, size = [], 0
            known.add(name)
            part.append({"record_hash": name, "text": text})
            size += len(text)
        self._texts.append(part)
        return hashes


class BuildRequests:
    """What `datasets build` asks of the process that holds the store's lease."""

    def __init__(self, store: Store) -> None:
        self._requests, self._versions = store.table("dataset_requests"), store.table(_VERSIONS)
        self._none_at = (-1, -1)  # versions of the tables at which nothing was open

    def put(self, datasets: Collection[str], now_us: int) -> int:
        """Ask for a build of these datasets (none: of all); the number to wait for with :meth:`is_done`."""
        last = self._requests.read(["asked_us"])["asked_us"].max()
        asked_us = max(now_us, self._handled() + 1, last + 1 if isinstance(last, int) else 0)
        self._requests.append([{"asked_us": asked_us, "datasets": sorted(datasets)}])
        return asked_us

    def open(self) -> tuple[int, frozenset[str]] | None:
        """The last open request, and the datasets of all open ones (none: all); None where none is open."""
        present = self._requests.version(), self._versions.version()
        if present[0] < 0 or present == self._none_at:
            return None
        rows = self._requests.read(where=pl.col("asked_us") > self._handled()).sort("asked_us")
        if rows.is_empty():
            self._none_at = present
            return None
        named = [set(names or ()) for names in rows["datasets"].to_list()]
        return int(rows["asked_us"][-1]), frozenset(set.union(*named) if all(named) else ())

    def done(self, asked_us: int) -> None:
        """Note that everything that was asked up to then is done."""
        self._versions.append([], app_id=_HANDLED, version=asked_us)

    def is_done(self, asked_us: int) -> bool:
        """Whether what was asked then is done."""
        return self._handled() >= asked_us

    def _handled(self) -> int:
        handled = self._versions.app_version(_HANDLED)
        return -1 if handled is None else handled


def _version(row: Mapping[str, Any]) -> StoredVersion:
    named = ("number", "dataset_id", "version", "at_us", "records", "sources")
    return StoredVersion(
        **{name: row[name] for name in named},
        place=Place(row["dataset"], row["experiment_id"], row["experiment"] or ""),
        note=json.loads(row["note"] or "{}"),
    )

"""Versions of datasets: named, read back, taken.  Reading needs the store alone: no server, no Java.

A dataset is named ``NAME``, or ``EXPERIMENT/NAME`` where several experiments have one of that name.  A
version is named by a beginning of its hash that no other version of the dataset has, or ``latest``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from store import Store
from store.dataset_versions import DatasetVersions, Place, StoredVersion
from tracesieve.datasets.record import Record, in_order, parsed_record, version_of
from tracesieve.errors import TracesieveError

LATEST = "latest"
SHOWN_DIGITS = 12  # of a version, where it is shown
_MOST_NAMED = 10


def records(store: Store, name: str, version: str = LATEST) -> list[Record]:
    """The records of a version, in the order of the digests of their inputs.

    Raises:
        TracesieveError: there is no such dataset or version, or several begin so.
        StoreError: the store cannot be read.
    """
    return list(records_of(store, found(store, name, version)))


def records_of(store: Store, version: StoredVersion) -> Iterator[Record]:
    """The same of a version that was found, some records at a time."""
    return (parsed_record(text) for text in DatasetVersions(store).texts(version))


def found(store: Store, name: str, version: str = LATEST) -> StoredVersion:
    """The version of that name.

    Raises:
        TracesieveError: there is no such dataset or version, or several begin so.
    """
    history = versions_of(store, name)
    if version == LATEST:
        return history[-1]
    begins = [one for one in history if version and one.version.startswith(version.lower())]
    hashes = {one.version for one in begins}
    if len(hashes) == 1:
        return begins[-1]
    known = list(dict.fromkeys(short(one) for one in reversed(history)))
    if hashes:
        several = ", ".join(sorted(hashes))
        raise TracesieveError(f"{name}@{version}: several versions begin so: {several}")
    raise TracesieveError(f"{name} has no version {version!r}{_hint(version, known, 'its versions are')}")


def versions_of(store: Store, name: str) -> list[StoredVersion]:
    """Every version of the dataset of that name, oldest first, at least one.

    Raises:
        TracesieveError: there is no such dataset, or there are several.
    """
    every = DatasetVersions(store).all()
    by_place: dict[tuple[str, str], list[StoredVersion]] = {}
    for one in every:
        by_place.setdefault(one.place.key, []).append(one)
    matching = [
        history
        for history in by_place.values()
        if name in (history[-1].place.dataset, full_name(history[-1].place))
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        several = ", ".join(sorted(full_name(history[-1].place) for history in matching))
        raise TracesieveError(f"{name}: several experiments have a dataset of that name: write {several}")
    if not every:
        raise TracesieveError(f"there is no version of {name} yet: `tracesieve datasets build` takes one")
    known = sorted({history[-1].place.dataset for history in by_place.values()})
    raise TracesieveError(f"there is no version of a dataset {name!r}{_hint(name, known, 'there are')}")


def take(
    store: Store,
    place: Place,
    dataset_id: str,
    records: Iterable[Record],
    now_us: int,
    note: Mapping[str, Any] | None = None,
) -> StoredVersion | None:
    """Take a version of these records; None where they are the last version already.

    Exactly once: killed anywhere and repeated it comes to the same version, which is there whole or not at
    all.  Only who holds the store's lease may call it.

    Raises:
        StoreUnwritable: the store cannot be written; repeat it.
    """
    ordered = in_order(records)
    sources = {trace_id for one in ordered for trace_id in one.sources}
    texts = [one.text() for one in ordered]
    version = version_of(ordered)
    return DatasetVersions(store).put(
        place, dataset_id, version, texts, sources=len(sources), note=note or {}, now_us=now_us
    )


def short(version: StoredVersion) -> str:
    """A version as it is shown."""
    return version.version[:SHOWN_DIGITS]


def full_name(place: Place) -> str:
    """The name of a dataset with that of its experiment."""
    return f"{place.experiment or place.experiment_id}/{place.dataset}"


def split_name(text: str) -> tuple[str, str]:
    """``NAME@VERSION`` as name and version; the latest where none is named. No name has an ``@``."""
    name, at, version = text.rpartition("@")
    return (name, version or LATEST) if at else (text, LATEST)


def _hint(name: str, known: list[str], words: str) -> str:
    near = difflib.get_close_matches(name, known, 1)
    shown = ", ".join(known[:_MOST_NAMED]) + (", …" if len(known) > _MOST_NAMED else "")
    return f": did you mean {near[0]}? ({words} {shown})" if near else f" ({words} {shown})"

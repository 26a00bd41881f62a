"""What a Delta table's log says that its stream does not: in which order files came, what was deleted, what
is gone.

A stream hands over rows with the name of their file.  The log says which commit brought that file, and so, of
two rows of one trace in one batch, which came later.  Which commits a batch spans is told by the offsets in
the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa

from store.files import SmallFiles

# As Spark and delta-rs name them in a commit's operationMetrics, in lower case and without "_".
_DELETED = ("numdeletedrows", "numtargetrowsdeleted")


@dataclass(frozen=True)
class Commit:
    """One version: when it was committed (µs), the files it added (paths in the table), how many rows it
    deleted.
    """

    version: int
    time_us: int
    files: tuple[str, ...]
    deleted: int


@dataclass(frozen=True)
class FileArrivals:
    """When the files of a batch came, µs by the name that Spark gives them, rising strictly in the order of
    commits.
    """

    times: dict[str, int]
    deleted: int


def offset(checkpoint: str, batch_id: int) -> dict[str, Any] | None:
    """The Delta offset up to which that batch reads, None where there is none (yet, or any more)."""
    text = SmallFiles(checkpoint).read(f"offsets/{batch_id}") if batch_id >= 0 else None
    found = json.loads(text.strip().splitlines()[-1]) if text else None
    return found if isinstance(found, dict) and "reservoirVersion" in found else None


def last_batch(checkpoint: str, among: str = "offsets") -> int | None:
    """The batch that the checkpoint planned last (among ``commits``: that it finished last), None where there
    is none.
    """
    return max((int(name) for name in SmallFiles(checkpoint).names(among) if name.isdigit()), default=None)


def oldest(table: str) -> Commit | None:
    """The first commit that the table's log still has."""
    names = (
        name.removesuffix(".json") for name in SmallFiles(table).names("_delta_log") if name.endswith(".json")
    )
    first = min((int(name) for name in names if name.isdigit()), default=None)
    return None if first is None else next(commits(table, first, first), None)


def commits(table: str, first: int, last: int) -> Iterator[Commit]:
    """The commits ``first`` … ``last`` that the log still has, in order."""
    place = SmallFiles(table)
    for version in range(first, last + 1):
        text = place.read(f"_delta_log/{version:020}.json")
        if text is not None:
            yield _commit(version, text)


def _commit(version: int, text: str) -> Commit:
    time_ms, deleted, files = 0, 0, []
    for line in text.splitlines():
        action = json.loads(line) if line.strip() else {}
        if info := action.get("commitInfo"):
            time_ms = int(info.get("inCommitTimestamp") or info.get("timestamp") or 0)
            told = {
                str(key).replace("_", "").lower(): value
                for key, value in (info.get("operationMetrics") or {}).items()
            }
            deleted = sum(int(told.get(name) or 0) for name in _DELETED)
        elif added := action.get("add"):
            files.append(unquote(added["path"]))
    return Commit(version, time_ms * 1000, tuple(files), deleted)


def arrivals(table: str, checkpoint: str, batch_id: int, files: list[str]) -> FileArrivals:
    """When the files of a batch were committed, and how many rows the commits that it finishes deleted."""
    start, end = offset(checkpoint, batch_id - 1), offset(checkpoint, batch_id)
    spanned: list[Commit] = []
    if start is not None and end is not None:
        first = int(start["reservoirVersion"]) + bool(start.get("isStartingVersion"))
        spanned = list(commits(table, first, int(end["reservoirVersion"])))
    came: dict[
        str, tuple[int, int]
    ] = {}  # a file that a deletion vector was added to is there twice: the first counts
    for one in spanned:
        for path in one.files:
            came.setdefault(path, (len(came), one.time_us))
    found = {file: inside for file in files if (inside := _path_in(file, came)) is not None}
    rest = [file for file in files if file not in found]
    old = (
        _dated(table, rest) if rest else []
    )  # a first batch reads a snapshot, whose files come by their own date
    new = [(file, came[name][1]) for file, name in sorted(found.items(), key=lambda pair: came[pair[1]])]
    times: dict[str, int] = {}
    last = 0
    for file, time_us in [*old, *new]:
        last = max(last + 1, time_us)
        times[file] = last
    done = int(end["reservoirVersion"]) if end is not None else 0
    return FileArrivals(times, sum(one.deleted for one in spanned if one.version < done))


def _path_in(file: str, paths: Mapping[str, object]) -> str | None:
    """The path in the table of a file that Spark names by its whole URI."""
    parts = unquote(urlparse(file).path).strip("/").split("/")
    return next((tail for at in range(len(parts)) if (tail := "/".join(parts[at:])) in paths), None)


def _dated(table: str, files: list[str]) -> list[tuple[str, int]]:
    """Files by the date that the table's newest version, else the file system, gives them; unknown ones are
    left out.
    """
    from deltalake import DeltaTable

    actions = pa.table(DeltaTable(table).get_add_actions(flatten=True))
    pairs = zip(
        actions["path"].to_pylist(), actions["modification_time"].cast(pa.int64()).to_pylist(), strict=True
    )
    known = {unquote(path): when * 1000 for path, when in pairs}
    found = []
    for file in files:
        inside, local = _path_in(file, known), Path(unquote(urlparse(file).path))
        if inside is not None:
            found.append((file, known[inside]))
        elif local.exists():
            found.append((file, local.stat().st_mtime_ns // 1_000_000 * 1000))
    return sorted(found, key=lambda one: (one[1], one[0]))

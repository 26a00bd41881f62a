"""What the log of a Delta table says that its stream does not: the order of files, what was deleted, what is
gone.

A stream hands over rows with the name of their file.  The log says which version brought that file, and so,
of two rows of one trace in one batch, which came later.  The offsets in the checkpoint say which versions a
batch spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from deltalake import DeltaTable

from rules.units import readable_time
from store.files import SmallFiles, json_lines
from streams.checkpoint import Offset, next_offset, offset
from streams.errors import SourceError

# As Spark and delta-rs name them in a commit's operationMetrics, in lower case and without "_".
_DELETED = ("numdeletedrows", "numtargetrowsdeleted")


@dataclass(frozen=True)
class Version:
    """One version: when it was committed (µs), the files it added (paths in the table), how many rows it
    deleted; the schema that it gave the table (JSON, None: it left that alone), and by which operation.
    """

    number: int
    time_us: int
    files: tuple[str, ...]
    deleted: int
    schema: str | None = None
    operation: str = ""


@dataclass(frozen=True)
class Arrivals:
    """When the files of a batch came: µs by the name that Spark gives them.  Times rise strictly in the order
    of the versions that brought the files.  ``deleted``: rows that versions of the batch deleted.
    """

    times_us: Mapping[str, int]
    deleted: int


def versions(table: str, first: int, last: int) -> Iterator[Version]:
    """The versions ``first`` … ``last`` that the log still has, in order."""
    place = SmallFiles(table)
    for number in range(first, last + 1):
        text = place.read(f"_delta_log/{number:020}.json")
        if text is not None:
            yield _version(number, text)


def _version(number: int, text: str) -> Version:
    time_ms, deleted, files = 0, 0, []
    schema, operation = None, ""
    for action in json_lines(text):
        if info := action.get("commitInfo"):
            operation = str(info.get("operation") or "")
            time_ms = int(info.get("inCommitTimestamp") or info.get("timestamp") or 0)
            metrics = (info.get("operationMetrics") or {}).items()
            plain = {str(key).replace("_", "").lower(): value for key, value in metrics}
            deleted = sum(int(plain.get(name) or 0) for name in _DELETED)
        elif added := action.get("add"):
            files.append(unquote(added["path"]))
        elif metadata := action.get("metaData"):
            schema = str(metadata["schemaString"])
    return Version(number, time_ms * 1000, tuple(files), deleted, schema, operation)


def oldest(table: str) -> Version | None:
    """The first version that the table's log still has."""
    names = (
        name.removesuffix(".json") for name in SmallFiles(table).names("_delta_log") if name.endswith(".json")
    )
    first = min((int(name) for name in names if name.isdigit()), default=None)
    return None if first is None else next(versions(table, first, first), None)


def check_versions(table: str, label: str, checkpoint: str, counted_through_us: int | None = None) -> None:
    """Compare what the checkpoint will ask for next with the table that is there and the versions that its
    log still has.

    ``label`` names the table in messages; ``counted_through_us`` is up to when versions have been counted.

    Raises:
        SourceError: it is another table, or versions in between were cleaned away: reading on would lose them
            silently.
    """
    wanted = next_offset(checkpoint)
    if wanted is None:
        return
    rebuild = "`tracesieve run --rebuild` reads the whole table again against the facts that are there"
    if str(DeltaTable(table).metadata().id) != wanted.table_id:
        raise SourceError(
            f"{label} is not the table that was read so far: it was made anew or moved; {rebuild}"
        )
    first = oldest(table)
    if first is not None and wanted.version < first.number:
        since = f"after {readable_time(counted_through_us)}" if counted_through_us else "since the last run"
        raise SourceError(
            f"{label}: versions {wanted.version} to {first.number - 1} are gone from its log, so what was "
            f"committed {since} and before {readable_time(first.time_us)} cannot be told from what was "
            f"counted; {rebuild}"
        )


def schema_changes(table: str, checkpoint: str) -> Iterator[Version]:
    """The versions, from the one that a stream reads next on, that gave the table a schema; none where it has
    read nothing.
    """
    wanted = next_offset(checkpoint)
    if wanted is not None:
        newest = DeltaTable(table).version()
        yield from (one for one in versions(table, wanted.version, newest) if one.schema is not None)


def arrivals(table: str, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
    """When the files of a batch were committed, and how many rows the versions that it finishes deleted."""
    end = offset(checkpoint, batch_id)
    spanned = _spanned(table, offset(checkpoint, batch_id - 1), end)
    # A file that a deletion vector was added to is there twice: the first counts.
    came: dict[str, tuple[int, int]] = {}
    for one in spanned:
        for path in one.files:
            came.setdefault(path, (len(came), one.time_us))
    found = {file: inside for file in files if (inside := _path_in(file, came)) is not None}
    rest = [file for file in files if file not in found]
    # A first batch reads a snapshot, whose files come by their own date.
    old = _dated(table, rest) if rest else []
    new = [(file, came[name][1]) for file, name in sorted(found.items(), key=lambda pair: came[pair[1]])]
    times_us: dict[str, int] = {}
    last = 0
    for file, time_us in [*old, *new]:
        last = max(last + 1, time_us)
        times_us[file] = last
    done = end.version if end is not None else 0
    return Arrivals(times_us, sum(one.deleted for one in spanned if one.number < done))


def _spanned(table: str, start: Offset | None, end: Offset | None) -> list[Version]:
    """The versions that a batch between two offsets reads, wholly or in part."""
    if start is None or end is None:
        return []
    return list(versions(table, start.version + start.in_snapshot, end.version))


def _path_in(file: str, paths: Mapping[str, object]) -> str | None:
    """The path in the table of a file that Spark names by its whole URI."""
    parts = unquote(urlparse(file).path).strip("/").split("/")
    return next((tail for at in range(len(parts)) if (tail := "/".join(parts[at:])) in paths), None)


def _dated(table: str, files: list[str]) -> list[tuple[str, int]]:
    """Files by the date that the table's newest version, else the file system, gives them; unknown ones are
    left out.
    """
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

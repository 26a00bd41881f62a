"""The checkpoint of the streaming query: where it is, how far it has come, and which stream it feeds.

One query a store, one checkpoint.  Its folder also names the stream, so that a store is never fed by a
checkpoint that has not seen what the store holds.  Versions are those of the table that the query reads.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

import polars as pl

from store import Store, StoreUnwritable
from store.batches import last_stream
from store.files import SmallFiles
from streams.errors import StreamMismatch

_IDENTITY = "tracesieve-stream.json"


@dataclass(frozen=True)
class Offset:
    """Up to where a batch reads: all versions before ``version`` of the table with the id ``table_id``.

    While the first snapshot is read, ``version`` is that of the snapshot and ``in_snapshot`` is true.
    """

    table_id: str
    version: int
    in_snapshot: bool


def checkpoint_of(store_path: str) -> str:
    """The checkpoint's folder in a store."""
    return f"{store_path.rstrip('/')}/checkpoint"


def offset(checkpoint: str, batch_id: int) -> Offset | None:
    """Up to where that batch reads, None where the checkpoint does not say (yet, or any more)."""
    text = SmallFiles(checkpoint).read(f"offsets/{batch_id}") if batch_id >= 0 else None
    found = json.loads(text.strip().split("\n")[-1]) if text else None
    if not isinstance(found, dict) or "reservoirVersion" not in found:
        return None
    version, in_snapshot = int(found["reservoirVersion"]), bool(found.get("isStartingVersion"))
    return Offset(str(found.get("reservoirId", "")), version, in_snapshot)


def planned_batch(checkpoint: str) -> int | None:
    """The batch that was planned last, None where there is none."""
    return _last_number(checkpoint, "offsets")


def finished_batch(checkpoint: str) -> int | None:
    """The batch that was finished last, None where there is none."""
    return _last_number(checkpoint, "commits")


def _last_number(checkpoint: str, folder: str) -> int | None:
    return max((int(name) for name in SmallFiles(checkpoint).names(folder) if name.isdigit()), default=None)


def next_offset(checkpoint: str) -> Offset | None:
    """Where the last planned batch ends: what the query will ask of the table next.  None: it has read
    nothing.
    """
    planned = planned_batch(checkpoint)
    return None if planned is None else offset(checkpoint, planned)


def read_through(checkpoint: str) -> int | None:
    """The table version that the stream reads next: every earlier one is in its committed batches. None: it
    read nothing.

    While the first snapshot is being read this is the version of that snapshot.
    """
    done = finished_batch(checkpoint)
    found = None if done is None else offset(checkpoint, done)
    return None if found is None else found.version


def needed_version(checkpoint: str) -> int | None:
    """The oldest table version that a start of the stream asks for; None: it is not known that any may go.

    Spark makes the frame of the last committed batch anew before it goes on, from where that batch began.
    That of a first batch is a snapshot, for which all of the log may be needed.
    """
    done = finished_batch(checkpoint)
    begun = None if done is None else offset(checkpoint, done - 1)
    return None if begun is None else begun.version


def stream_id(store: Store, checkpoint: str, *, rebuild: bool = False) -> str:
    """The id of the stream that this checkpoint feeds, made where store and checkpoint are new, or on
    ``rebuild``.

    Raises:
        StreamMismatch: the checkpoint was removed, is an older copy, or the store's facts come from another
            one.
        StoreUnwritable: a new id cannot be written.
    """
    place = SmallFiles(checkpoint)
    fed_by = last_stream(store)
    if rebuild:
        return _new_stream(place, replaces=fed_by)
    text = place.read(_IDENTITY)
    if text is None:
        if fed_by is None:
            return _new_stream(place, replaces=None)
        raise StreamMismatch(
            f"{checkpoint} is gone, but {store.path} holds facts: "
            "`tracesieve run --rebuild` reads the source again against the facts that are there"
        )
    identity = json.loads(text)
    if fed_by not in (None, identity["stream_id"], identity["replaces"]):
        raise StreamMismatch(
            f"{store.path} holds facts of stream {fed_by}, but {checkpoint} is of stream "
            f"{identity['stream_id']}: put the right one back, or use `tracesieve run --rebuild`"
        )
    own = pl.col("stream_id") == identity["stream_id"]
    done = store.table("batches").read(["batch_id"], own & (pl.col("phase") == "end"))["batch_id"].max()
    planned = planned_batch(checkpoint)
    if isinstance(done, int) and done > (-1 if planned is None else planned):
        raise StreamMismatch(
            f"{checkpoint} is older than {store.path}, which holds batch {done}: batches planned anew would "
            "be taken for those that are in; put the right one back, or use `tracesieve run --rebuild`"
        )
    return str(identity["stream_id"])


def _last_stream(store: Store) -> str | None:
    rows = store.table("batches").read(["stream_id", "now_us"]).sort("now_us", maintain_order=True)
    return str(rows["stream_id"][-1]) if rows.height else None


def _new_stream(place: SmallFiles, replaces: str | None) -> str:
    fresh = uuid.uuid4().hex[:12]
    try:
        place.clear()
        place.write(_IDENTITY, json.dumps({"stream_id": fresh, "replaces": replaces}))
    except OSError as error:
        raise StoreUnwritable(f"{place.uri} cannot be written: {error.strerror or error}") from error
    return fresh

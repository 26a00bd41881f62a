"""The checkpoint of the stream: whose it is, and how far it has read.

One query a store, one checkpoint: its folder also names the stream, so that a store is never fed by a
checkpoint that has not seen what the store holds.
"""

from __future__ import annotations

import json
import uuid

import polars as pl

from store import Store, StoreUnwritable
from store.files import SmallFiles
from streams.errors import StreamMismatch
from streams.sources.delta_traces.log import last_batch, offset

_IDENTITY = "tracesieve-stream.json"


def checkpoint_of(store_path: str) -> str:
    """The checkpoint's folder in a store."""
    return f"{store_path.rstrip('/')}/checkpoint"


def stream_id(store: Store, checkpoint: str, *, rebuild: bool = False) -> str:
    """The id of the stream that this checkpoint feeds, made where store and checkpoint are new, or on
    ``rebuild``.

    Raises:
        StreamMismatch: the checkpoint was removed, is an older copy, or the store's facts come from another
            one.
    """
    place = SmallFiles(checkpoint)
    fed_by = _last_stream(store)
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
    mine = pl.col("stream_id") == identity["stream_id"]
    done = store.table("batches").read(["batch_id"], mine & (pl.col("phase") == "end"))["batch_id"].max()
    if isinstance(done, int) and done > (-1 if (planned := last_batch(checkpoint)) is None else planned):
        raise StreamMismatch(
            f"{checkpoint} is older than {store.path}, which holds batch {done}: batches planned anew "
            "would be taken for those "
            "that are in; put the right one back, or use `tracesieve run --rebuild`"
        )
    return str(identity["stream_id"])


def _new_stream(place: SmallFiles, replaces: str | None) -> str:
    fresh = uuid.uuid4().hex[:12]
    try:
        place.clear()
        place.write(_IDENTITY, json.dumps({"stream_id": fresh, "replaces": replaces}))
    except OSError as error:
        raise StoreUnwritable(f"{place.uri} cannot be written: {error.strerror or error}") from error
    return fresh


def read_through(checkpoint: str) -> int | None:
    """The table version that the stream reads next: every earlier one is in its committed batches. None: it
    read nothing.

    While the first snapshot is being read this is the version of that snapshot.
    """
    done = last_batch(checkpoint, among="commits")
    found = None if done is None else offset(checkpoint, done)
    return None if found is None else int(found["reservoirVersion"])


def needed_version(checkpoint: str) -> int | None:
    """The oldest table version that a start of the stream asks for; None: it is not known that any may go.

    Spark makes the frame of the last committed batch anew before it goes on, from where that batch began.
    That of a first batch is a snapshot, for which all of the log may be needed.
    """
    done = last_batch(checkpoint, among="commits")
    begun = None if done is None else offset(checkpoint, done - 1)
    return None if begun is None else int(begun["reservoirVersion"])


def _last_stream(store: Store) -> str | None:
    rows = store.table("batches").read(["stream_id", "now_us"]).sort("now_us", maintain_order=True)
    return str(rows["stream_id"][-1]) if rows.height else None

"""The one file that starts streaming queries, and the checks that come first.

One query a store, one checkpoint: its folder also names the stream, so that a store is never fed by a
checkpoint that has not seen what the store holds.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from store import Store, StoreUnwritable, open_store
from store.files import SmallFiles
from store.rule_sets import RuleSets
from streams.batch.process import (
    BatchConfig,
    Clock,
    in_force,
    narrow_plan,
    process_batch,
)
from streams.errors import QueryFailed, RuleSetChanged, SourceError, StreamMismatch
from streams.sources.delta_traces.log import last_batch, offset
from streams.sources.delta_traces.source import check, check_versions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_IDENTITY = "tracesieve-stream.json"
_TRIGGER = "2 seconds"
_MOST_BYTES = "256m"  # of source files in one batch: what a driver of 2 GB can take as narrow rows


# Our own errors cross Spark as text: a Python traceback inside a Java exception.
_OURS = re.compile(r"^(?:store|streams|rules)\.[\w.]*?(?:\w+): (.+)$", re.MULTILINE)

_REREAD = "`tracesieve run --rebuild` reads the table again against the facts that are there"
# What Delta says about a source in a page of its own, in a line of ours.
_TOLD = {
    "DELTA_SCHEMA_CHANGED": "columns were added to the source; the next run goes on with them where this "
    "one stopped",
    "DELTA_STREAMING_INCOMPATIBLE_SCHEMA_CHANGE": "a column of the source was renamed, dropped or "
    f"retyped; {_REREAD}",
    "DIFFERENT_DELTA_TABLE_READ": "the source is another table than before, though at the same place; "
    f"{_REREAD}",
    "DELTA_MISSING_FILES_UNEXPECTED_VERSION": "versions that a start of the stream asks for (those of the "
    "last batch too) were "
    f"cleaned from the source's log; {_REREAD}",
    "FILE_NOT_EXIST": f"files of the source were vacuumed away before they were read; {_REREAD}",
    "DELTA_FILE_NOT_FOUND_DETAILED": "files of the source were vacuumed away before they were read; "
    f"{_REREAD}",
}


def reason(text: str) -> str:
    """The line of a failed query's message that says what went wrong: our own error, if it was one of
    ours.
    """
    found = _OURS.findall(text)
    full = re.search(r"No space left on device|Disk quota exceeded", text)
    if found:
        return str(found[-1])
    if known := next((told for sign, told in _TOLD.items() if sign in text), None):
        return known
    return full[0] if full else (text.strip().splitlines() or ["no reason was given"])[0]


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
    told = json.loads(text)
    if fed_by not in (None, told["stream_id"], told["replaces"]):
        raise StreamMismatch(
            f"{store.path} holds facts of stream {fed_by}, but {checkpoint} is of stream "
            f"{told['stream_id']}: "
            "put the right one back, or use `tracesieve run --rebuild`"
        )
    mine = pl.col("stream_id") == told["stream_id"]
    done = store.table("batches").read(["batch_id"], mine & (pl.col("phase") == "end"))["batch_id"].max()
    if isinstance(done, int) and done > (-1 if (planned := last_batch(checkpoint)) is None else planned):
        raise StreamMismatch(
            f"{checkpoint} is older than {store.path}, which holds batch {done}: batches planned anew "
            "would be taken for those "
            "that are in; put the right one back, or use `tracesieve run --rebuild`"
        )
    return str(told["stream_id"])


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


class Handle:
    """A running query; it is started anew when other rules have come into force, since they are part of its
    plan.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self.query = begin()

    @property
    def active(self) -> bool:
        """Whether it still runs."""
        return self._begun_anew() or bool(self.query.isActive)

    def _begun_anew(self) -> bool:
        if self.query.isActive or RuleSetChanged.__name__ not in str(self.query.exception() or ""):
            return False
        self.query = self._begin()
        return True

    def error(self) -> str | None:
        """What ended it, in one line, or None."""
        failure = self.query.exception()
        return None if failure is None else reason(str(failure))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False when it still runs after ``timeout_s`` seconds.

        Raises:
            QueryFailed: an error ended it; says which, in one line.
        """
        from pyspark.errors import StreamingQueryException

        while True:
            try:
                ended = (
                    self.query.awaitTermination()
                    if timeout_s is None
                    else self.query.awaitTermination(timeout_s)
                )
            except StreamingQueryException as error:
                if self._begun_anew():
                    continue
                raise QueryFailed(f"the streaming query ended: {reason(str(error))}") from error
            return ended is None or bool(ended)

    def finish(self, timeout_s: float) -> bool:
        """End it after the batch under way; False when that took longer than ``timeout_s`` and was broken
        off.

        When the query is behind, another batch has begun by then: that one is broken off, and the next run
        repeats it.

        Raises:
            QueryFailed: an error ended it meanwhile.
        """
        deadline, done = time.monotonic() + timeout_s, self._done()
        while busy := self.active and bool(self.query.status["isTriggerActive"]) and self._done() == done:
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        if not self.query.isActive and (failure := self.error()):
            raise QueryFailed(f"the streaming query ended: {failure}")
        self.stop()
        return not busy

    def _done(self) -> int | None:
        """The last batch that it has reported as done."""
        progress = self.query.lastProgress
        return None if progress is None else int(progress["batchId"])

    def stop(self) -> None:
        """End it; a batch under way is broken off and is repeated by the next run."""
        self.query.stop()


def check_source(config: BatchConfig) -> None:
    """Everything about the source that can be known before Spark starts.

    Raises:
        SourceError: the table, its columns or its versions are not as they must be.
    """
    check(config.source_table, dict(config.columns))
    through = (
        open_store(config.store_path)
        .table("batches")
        .read(["arrived_through_us"])["arrived_through_us"]
        .max()
    )
    check_versions(config.source_table, config.checkpoint, through if isinstance(through, int) else None)


def start(spark: SparkSession, config: BatchConfig, clock: Clock, *, once: bool = False) -> Handle:
    """Start the query over ``config.source_table``; ``once`` takes what is there and ends.

    Guarantee: every committed row of the source reaches :func:`streams.batch.process.process_batch`, at least
    once, in order; the batch makes that once.

    Raises:
        SourceError: see :func:`check_source`.
    """
    rule_sets = RuleSets(open_store(config.store_path))
    check_source(config)
    reader = (
        spark.readStream.format("delta")
        .option("ignoreChanges", "true")
        .option("maxBytesPerTrigger", _MOST_BYTES)
    )
    trigger = {"availableNow": True} if once else {"processingTime": _TRIGGER}

    def begin() -> Any:
        present = in_force(rule_sets)
        work = replace(config, rule_set_hash=present.hash)
        writer = (
            narrow_plan(reader.load(config.source_table), present.rules, work)
            .writeStream.queryName(f"tracesieve-{config.stream_id}")
            .option("checkpointLocation", config.checkpoint)
            .foreachBatch(partial(process_batch, config=work, clock=clock))
        )
        return writer.trigger(**trigger).start()

    return Handle(begin)


__all__ = [
    "Handle",
    "QueryFailed",
    "SourceError",
    "StreamMismatch",
    "check_source",
    "checkpoint_of",
    "needed_version",
    "read_through",
    "start",
    "stream_id",
]

"""The one file that starts streaming queries, and the checks that come first.

One query a store, one checkpoint: its folder also names the stream, so that a store is never fed by a checkpoint that
has not seen what the store holds.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import Store, open_store
from streams.batch import BatchConfig, Clock, process_batch
from streams.errors import SourceError
from streams.sources.delta_traces import check, check_versions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_IDENTITY = "tracesieve-stream.json"
_TRIGGER = "2 seconds"
_MOST_BYTES = "256m"  # of source files in one batch: what a driver of 2 GB can take as narrow rows


class StreamMismatch(RuntimeError):  # noqa: N818
    """The checkpoint and the store do not belong together; reading on would lose or repeat traces silently."""

    exit_code = 3


def checkpoint_of(store_path: str) -> str:
    """The checkpoint's folder in a store."""
    return f"{store_path.rstrip('/')}/checkpoint"


def stream_id(store: Store, checkpoint: str, *, rebuild: bool = False) -> str:
    """The id of the stream that this checkpoint feeds, made where store and checkpoint are new, or on ``rebuild``.

    Raises:
        StreamMismatch: the checkpoint was removed, or the store's facts come from another one.
    """
    file = Path(checkpoint) / _IDENTITY
    fed_by = _last_stream(store)
    if rebuild:
        return _new_stream(file, replaces=fed_by)
    if not file.exists():
        if fed_by is None:
            return _new_stream(file, replaces=None)
        raise StreamMismatch(
            f"{checkpoint} is gone, but {store.path} holds facts: "
            "`tracesieve run --rebuild` reads the source again against the facts that are there"
        )
    told = json.loads(file.read_text(encoding="utf-8"))
    if fed_by not in (None, told["stream_id"], told["replaces"]):
        raise StreamMismatch(
            f"{store.path} holds facts of stream {fed_by}, but {checkpoint} is of stream {told['stream_id']}: "
            "put the right one back, or use `tracesieve run --rebuild`"
        )
    return str(told["stream_id"])


def _new_stream(file: Path, replaces: str | None) -> str:
    shutil.rmtree(file.parent, ignore_errors=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = uuid.uuid4().hex[:12]
    file.write_text(json.dumps({"stream_id": fresh, "replaces": replaces}), encoding="utf-8")
    return fresh


def _last_stream(store: Store) -> str | None:
    rows = store.table("batches").read(["stream_id", "now_us"]).sort("now_us", maintain_order=True)
    return str(rows["stream_id"][-1]) if rows.height else None


@dataclass(frozen=True)
class Handle:
    """A running query."""

    query: Any

    @property
    def active(self) -> bool:
        """Whether it still runs."""
        return bool(self.query.isActive)

    def error(self) -> str | None:
        """What ended it, in one line, or None."""
        failure = self.query.exception()
        return None if failure is None else str(failure).strip().splitlines()[0]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False when it still runs after ``timeout_s`` seconds. Raises what ended it."""
        if timeout_s is None:
            self.query.awaitTermination()
            return True
        return bool(self.query.awaitTermination(timeout_s))

    def stop(self) -> None:
        """End it; a batch under way is broken off and is repeated by the next run."""
        self.query.stop()


def check_source(config: BatchConfig) -> None:
    """Everything about the source that can be known before Spark starts.

    Raises:
        SourceError: the table, its columns or its versions are not as they must be.
    """
    check(config.source_table, dict(config.columns))
    check_versions(config.source_table, config.checkpoint)


def start(spark: SparkSession, config: BatchConfig, clock: Clock, *, once: bool = False) -> Handle:
    """Start the query over ``config.source_table``; ``once`` takes what is there and ends.

    Guarantee: every committed row of the source reaches :func:`streams.batch.process_batch`, at least once, in order;
    the batch makes that once.

    Raises:
        SourceError: see :func:`check_source`.
    """
    open_store(config.store_path)
    check_source(config)
    reader = spark.readStream.format("delta").option("ignoreChanges", "true").option("maxBytesPerTrigger", _MOST_BYTES)
    frame = reader.load(config.source_table)
    writer = (
        frame.writeStream.queryName(f"tracesieve-{config.stream_id}")
        .option("checkpointLocation", config.checkpoint)
        .foreachBatch(partial(process_batch, config=config, clock=clock))
    )
    trigger = {"availableNow": True} if once else {"processingTime": _TRIGGER}
    return Handle(writer.trigger(**trigger).start())


__all__ = ["Handle", "SourceError", "StreamMismatch", "check_source", "checkpoint_of", "start", "stream_id"]

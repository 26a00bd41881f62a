"""The one file that starts streaming queries, and the checks that come first."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from store import open_store
from store.query_ends import RULES_CHANGED, QueryEnd, QueryEnds
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig, Clock
from streams.batch.narrow import narrow_plan
from streams.batch.process import BatchWorker, in_force, process_batch
from streams.errors import QueryFailed
from streams.spark_errors import line_of, schema_moved_on

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TRIGGER = "2 seconds"
_MOST_BYTES = "256m"  # of source files in one batch: what a driver of 2 GB can take as narrow rows
_LONGEST_DELAY_S = 30.0


@dataclass(frozen=True)
class Started:
    """One start of the query: Spark's object, and why a batch of it ended it (None: no batch did)."""

    query: Any
    end: Callable[[], QueryEnd | None]


class Handle:
    """A running query.

    Rules and the source's schema are part of its plan, so it ends when other rules have come into force, and
    where the source's schema changes; :meth:`poll` and :meth:`wait` then start it anew, at once the first
    time, later and later while no batch gets done. ``monotonic_s`` and ``sleep`` are given by tests.
    """

    def __init__(
        self,
        begin: Callable[[], Started],
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._begin, self._now_s, self._sleep = begin, monotonic_s, sleep
        self._started = begin()
        self._restarts = 0  # since a batch was done
        self._due_s: float | None = None  # when it starts anew; None: no restart is due
        self._rows: dict[tuple[str, int], int] = {}  # of the batches that are done

    @property
    def query(self) -> Any:
        """Spark's object of the present start."""
        return self._started.query

    @property
    def active(self) -> bool:
        """Whether it runs, or ended only to start anew; asking changes nothing."""
        return bool(self.query.isActive) or self._starts_anew()

    def poll(self) -> None:
        """Start the query anew if it ended for that, once the time for it has come.

        Raises:
            SourceError, NoRuleSet: it cannot be started.
        """
        if self.query.isActive:
            if self._restarts and self._done() is not None:
                self._restarts = 0
            return
        if self._starts_anew() and self._now_s() >= self._restart_at():
            self._restarts += 1
            self._due_s = None
            self._started = self._begin()

    def error(self) -> str | None:
        """What ended it, in one line, or None."""
        failure = self.query.exception()
        if failure is None:
            return None
        end = self._started.end()
        return line_of(str(failure)) if end is None else end.message

    def rows_and_batches(self) -> tuple[int, int]:
        """How many rows were read so far, and in how many batches; for people, from any thread."""
        for one in self.query.recentProgress:
            if rows := int(one["numInputRows"] or 0):
                self._rows[str(one["runId"]), int(one["batchId"])] = rows
        return sum(self._rows.values()), len(self._rows)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False when it still runs after ``timeout_s`` seconds.

        Raises:
            QueryFailed: an error ended it; says which, in one line.
        """
        until_s = None if timeout_s is None else self._now_s() + timeout_s
        while not self._ended(until_s):
            if until_s is not None and self._now_s() >= until_s:
                return False
            if not self.query.isActive:
                pause_s = max(0.0, self._restart_at() - self._now_s())
                self._sleep(pause_s if until_s is None else min(pause_s, until_s - self._now_s()))
                self.poll()
        return True

    def finish(self, timeout_s: float) -> bool:
        """End it after the batch under way; False when that took longer than ``timeout_s`` and was broken
        off.

        When the query is behind, another batch has begun by then: that one is broken off, and the next run
        repeats it.  A query that waits to start anew is not started.

        Raises:
            QueryFailed: an error ended it meanwhile.
        """
        deadline_s, done = self._now_s() + timeout_s, self._done()
        while busy := self._in_a_batch() and self._done() == done:
            if self._now_s() >= deadline_s:
                break
            self._sleep(0.05)
        if not self.active and (failure := self.error()):
            raise QueryFailed(f"the streaming query ended: {failure}")
        self.stop()
        return not busy

    def stop(self) -> None:
        """End it; a batch under way is broken off and is repeated by the next run."""
        self.query.stop()

    def _ended(self, until_s: float | None) -> bool:
        """Wait for the present start; False where it still runs, or is to start anew.

        Raises:
            QueryFailed: an error ended it.
        """
        from pyspark.errors import StreamingQueryException

        try:
            if until_s is None:
                self.query.awaitTermination()
                return True
            return bool(self.query.awaitTermination(max(0.001, until_s - self._now_s())))
        except StreamingQueryException as error:
            if self._starts_anew():
                return False
            raise QueryFailed(f"the streaming query ended: {self.error()}") from error

    def _in_a_batch(self) -> bool:
        return bool(self.query.isActive) and bool(self.query.status["isTriggerActive"])

    def _starts_anew(self) -> bool:
        """Whether the present start ended because other rules are in force, or the source has another
        schema.
        """
        failure = None if self.query.isActive else self.query.exception()
        if failure is None:
            return False
        end = self._started.end()
        return schema_moved_on(str(failure)) if end is None else end.reason == RULES_CHANGED

    def _restart_at(self) -> float:
        """When the query that ended may start anew: at once the first time, then 1, 2, 4 … 30 s later."""
        if self._due_s is None:
            if self._done() is not None:
                self._restarts = 0
            delay_s = min(_LONGEST_DELAY_S, 2.0 ** (self._restarts - 1)) if self._restarts else 0.0
            self._due_s = self._now_s() + delay_s
        return self._due_s

    def _done(self) -> int | None:
        """The last batch that the present start has reported as done."""
        progress = self.query.lastProgress
        return None if progress is None else int(progress["batchId"])


def check_source(config: BatchConfig) -> None:
    """Everything about the table to read that can be known before Spark starts.

    Raises:
        SourceError: the table, its columns or its versions are not as they must be.
    """
    batches = open_store(config.store_path).table("batches")
    through = batches.read(["arrived_through_us"])["arrived_through_us"].max()
    config.table.check(config.checkpoint, through if isinstance(through, int) else None)


def start(spark: SparkSession, config: BatchConfig, clock: Clock, *, once: bool = False) -> Handle:
    """Start the query over ``config.table``; ``once`` takes what is there and ends.

    Guarantee: every committed row of the source reaches :func:`streams.batch.process.process_batch`, at least
    once, in order; the batch makes that once.

    Raises:
        SourceError: see :func:`check_source`.
    """
    store = open_store(config.store_path)
    rule_sets, ends = RuleSets(store), QueryEnds(store)
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", _MOST_BYTES)
    reader = reader.options(**config.table.reader_options(config.checkpoint))
    trigger = {"availableNow": True} if once else {"processingTime": _TRIGGER}
    schema: str | None = None  # of the last start

    def begin() -> Started:
        nonlocal schema
        check_source(config)
        present = in_force(rule_sets)
        frame = reader.load(config.table.uri)
        before, schema = schema, frame.schema.json()
        table = config.table.as_read(schema, before)
        work = replace(config, rule_set_hash=present.hash, query_id=uuid.uuid4().hex, table=table)
        worker = BatchWorker(work, clock)
        writer = (
            narrow_plan(frame, present.rules, work)
            .writeStream.queryName(f"tracesieve-{config.stream_id}")
            .option("checkpointLocation", config.checkpoint)
            .foreachBatch(partial(process_batch, worker=worker))
        )
        # Where batches run in this process, the worker itself knows why it ended, even with a full disk.
        return Started(writer.trigger(**trigger).start(), lambda: worker.end or ends.of(work.query_id))

    return Handle(begin)


__all__ = ["Handle", "Started", "check_source", "start"]

"""Starting the query anew when other rules are in force; a stand-in plays Spark's query."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import StreamingQueryException

from store.query_ends import FAILED, RULES_CHANGED, QueryEnd
from streams.errors import QueryFailed
from streams.query import Handle, Started


class Query:
    """A query as a handle sees it: it runs until :meth:`fail`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.isActive, self.failure, self.end = True, None, None
        self.lastProgress: dict[str, int] | None = None
        self.status = {"isTriggerActive": False}

    def fail(self, reason: str | None, text: str = "[STREAM_FAILED] a page\nof text") -> None:
        self.isActive, self.failure = False, StreamingQueryException(text)
        if reason is not None:
            self.end = QueryEnd("q", "s", 0, reason, "Error", 3, "why", 0)

    def exception(self) -> Exception | None:
        return self.failure

    def stop(self) -> None:
        self.isActive = False

    def awaitTermination(self, timeout_s: float | None = None) -> bool | None:
        if self.failure is not None:
            raise self.failure
        self.clock.sleep(timeout_s or 0.0)
        return not self.isActive


class Clock:
    def __init__(self) -> None:
        self.now_s, self.slept = 100.0, 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept += seconds


class Played:
    """A handle, and every query that it has started."""

    def __init__(self, fails_at_once: str | None = None) -> None:
        self.clock = Clock()
        self.queries: list[Any] = []
        self.fails_at_once = fails_at_once
        self.handle = Handle(self._begin, lambda: self.clock.now_s, self.clock.sleep)

    def _begin(self) -> Started:
        query = Query(self.clock)
        self.queries.append(query)
        if self.fails_at_once:
            query.fail(self.fails_at_once)
        return Started(query, lambda: query.end)


def test_sem_08_asking_whether_it_is_active_starts_nothing_and_poll_does() -> None:
    played = Played()
    played.queries[0].fail(RULES_CHANGED)
    assert played.handle.active
    assert played.handle.active
    assert len(played.queries) == 1
    played.handle.poll()
    assert len(played.queries) == 2
    assert played.handle.query is played.queries[1]
    played.handle.poll()
    assert len(played.queries) == 2


def test_another_error_ends_it_and_says_why() -> None:
    played = Played()
    played.queries[0].fail(FAILED)
    played.handle.poll()
    assert not played.handle.active
    assert played.handle.error() == "why"
    assert len(played.queries) == 1
    with pytest.raises(QueryFailed, match="ended: why"):
        played.handle.wait()
    with pytest.raises(QueryFailed, match="ended: why"):
        played.handle.finish(1.0)


def test_an_end_of_which_no_batch_has_said_why_is_spark_s_first_line() -> None:
    played = Played()
    played.queries[0].fail(None)
    assert not played.handle.active
    assert played.handle.error() == "[STREAM_FAILED] a page"


def test_another_schema_of_the_source_starts_it_anew_and_batches_that_got_done_end_the_waiting() -> None:
    played = Played()
    for _ in range(6):
        played.queries[-1].lastProgress = {"batchId": 7}
        played.queries[-1].fail(None, "[STREAM_FAILED] … [DELTA_STREAMING_METADATA_EVOLUTION] The schema …")
        assert played.handle.active
        assert not played.handle.wait(0.5)
    assert len(played.queries) == 7
    assert played.clock.slept == pytest.approx(3.0)
    played.queries[-1].fail(FAILED, "[DELTA_STREAMING_METADATA_EVOLUTION] in a text that a batch quotes")
    assert not played.handle.active


def test_a_loop_of_restarts_waits_longer_and_longer_and_does_not_spin() -> None:
    played = Played(fails_at_once=RULES_CHANGED)
    at_s = []
    for _ in range(1000):
        before = len(played.queries)
        played.handle.poll()
        if len(played.queries) > before:
            at_s.append(played.clock.now_s - 100.0)
        played.clock.now_s += 0.125
    assert at_s == [0.0, 1.125, 3.25, 7.375, 15.5, 31.625, 61.75, 91.875, 122.0]
    assert played.handle.active


def test_a_batch_that_gets_done_ends_the_waiting() -> None:
    played = Played()
    for _ in range(3):
        played.queries[-1].fail(RULES_CHANGED)
        played.handle.poll()
        assert played.handle.query.isActive
        played.handle.query.lastProgress = {"batchId": 7}
        played.handle.poll()
    assert len(played.queries) == 4


def test_wait_sleeps_until_the_restart_is_due_and_no_longer_than_it_may() -> None:
    played = Played(fails_at_once=RULES_CHANGED)
    assert not played.handle.wait(10.0)
    assert len(played.queries) == 5  # at once, then after 1, 2 and 4 s; the next would come after 8
    assert played.clock.slept == pytest.approx(10.0)
    played.fails_at_once = None
    assert not played.handle.wait(10.0)
    played.handle.query.stop()
    assert played.handle.wait()


def test_sem_25_a_restart_that_is_due_is_left_to_the_next_run_at_shutdown() -> None:
    played = Played()
    played.queries[0].fail(RULES_CHANGED)
    assert played.handle.finish(1.0)
    assert len(played.queries) == 1

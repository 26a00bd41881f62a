"""One batch: traces in, facts and windows out, exactly once (SEMANTICS 8).

A batch is a begin row, its facts, the windows that those facts make (read back by batch id, never taken from
the incoming rows), and an end row.  Each is one append that carries the stream's id and the batch's, so a
batch that is repeated after a crash goes on where it stopped.  Its results leave only through tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from deltalake.exceptions import DeltaError

from store import Store, StoreError, open_store
from store.errors import first_line
from store.query_ends import FAILED, RULES_CHANGED, QueryEnd, QueryEnds
from store.rule_sets import InForce, RuleSets
from store.stopwatch import Stopwatch
from streams.batch.classify import classify
from streams.batch.config import BatchConfig, Clock
from streams.batch.narrow import matched, with_arrivals
from streams.batch.output import Batch, append, write_side_outputs, write_windows
from streams.batch.resolve import COUNTERS, known_where, resolve, totals
from streams.batch.turn import facts_turn
from streams.errors import NoRuleSet, RuleSetChanged, StreamsError
from streams.spark_errors import line_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("streams.batch.process")
BUG = 70  # the exit code of an error that is none of the program's own
LARGE = 20_000  # rows of a batch


def in_force(rule_sets: RuleSets) -> InForce:
    """The rule set in force.

    Raises:
        NoRuleSet: there is none.
    """
    found = rule_sets.in_force()
    if found is None:
        raise NoRuleSet(
            "the store holds no rules (its table rule_sets is empty): `tracesieve run` puts them there"
        )
    return found


def verdicts_through(store: Store) -> int:
    """The last instant whose verdicts are in (0: none yet): the version of ``instants`` that the follower
    commits.
    """
    return store.table("verdicts").app_version("instants") or 0


def process_batch(frame: DataFrame, batch_id: int, worker: BatchWorker) -> None:
    """Process one micro-batch of rows of :func:`streams.batch.narrow.narrow_plan`; repeating it with the same
    id changes nothing. What Spark calls: whatever ends the query is first written to ``query_ends``.

    Raises:
        NoRuleSet: there are no rules in the store.
        RuleSetChanged: the frame was matched with other rules than those now in force; no facts were written.
        StoreUnwritable: the store's place can't be written; the batch will be repeated.
    """
    try:
        worker.process(frame, batch_id)
    except Exception as error:
        worker.note_end(batch_id, error)
        raise


class BatchWorker:
    """Works on the batches of one start of the query, in the process where Spark calls it.

    It owns what is kept from batch to batch: the handles of the store's tables, which know the log so far,
    and the parsed rules. Pickled, it is its config and clock alone, and opens the store where it arrives.
    ``end`` is why it ended the query, in this process; None while it did not.
    """

    def __init__(
        self, config: BatchConfig, clock: Clock, rows_of: Callable[[Any], pa.Table] = matched
    ) -> None:
        self.config, self._clock, self._rows_of = config, clock, rows_of
        self.end: QueryEnd | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchWorker, (self.config, self._clock, self._rows_of)

    @cached_property
    def store(self) -> Store:
        """The store, opened at first use."""
        return open_store(self.config.store_path)

    @cached_property
    def rule_sets(self) -> RuleSets:
        """The rule sets of the store."""
        return RuleSets(self.store)

    def process(self, frame: Any, batch_id: int) -> None:
        """Do one batch; see :func:`process_batch`."""
        stages, batches = Stopwatch(), self.store.table("batches")
        ended = batches.app_version(f"batches:{self.config.stream_id}")
        if ended is not None and ended >= batch_id:
            return
        begun = self._begun(batch_id)
        present = in_force(self.rule_sets)
        rules, batch = present.rules, self._batch(batch_id, begun, present.hash)
        kept = self._facts_are_in(batch_id)
        stages.done("begin")
        if kept is None:
            if not begun.height or begun["rule_set_hash"][-1] != present.hash:
                batches.append([batch.row("begin")], marks={f"begin:{batch.stream_id}": batch_id})
            counters = self._write_facts(frame, batch, stages)
        else:  # its windows are made with the rules that made its facts, which may no longer be in force
            batch = replace(batch, rule_set_hash=kept.get("rule_set_hash", present.hash))
            rules = self.rule_sets.of_hash(batch.rule_set_hash) or rules
            counters = {name: int(kept.get(name, 0)) for name in (*COUNTERS, "arrived_through_us")}
        write_windows(self.store, rules, batch)
        stages.done("windows")
        end = [batch.row("end", counters)]
        batches.append(end, app_id=f"batches:{batch.stream_id}", version=batch_id)
        stages.done("end")
        log.debug("batch %d: %d rows; %s", batch_id, counters["rows"], stages, extra=stages.extra)

    def note_end(self, batch_id: int, error: Exception) -> None:
        """Keep why the query ends, here and, where it can be written, in the store."""
        if isinstance(error, StoreError | StreamsError):
            exit_code, message = error.exit_code, first_line(error)
        else:
            exit_code, message = BUG, line_of(str(error))
        self.end = QueryEnd(
            query_id=self.config.query_id,
            stream_id=self.config.stream_id,
            batch_id=batch_id,
            reason=RULES_CHANGED if isinstance(error, RuleSetChanged) else FAILED,
            error=type(error).__name__,
            exit_code=exit_code,
            message=message,
            at_us=self._clock(),
        )
        with suppress(StoreError, DeltaError, OSError):  # a full disk, say: the error itself goes on
            QueryEnds(self.store).put(self.end)

    def _batch(self, batch_id: int, begun: pl.DataFrame, rule_set_hash: str) -> Batch:
        """The batch as it is now; a retry keeps the times of the first attempt."""
        first = begun.row(0, named=True) if begun.height else {}
        return Batch(
            stream_id=self.config.stream_id,
            batch_id=batch_id,
            now_us=first["now_us"] if first else self._clock(),
            verdicts_through_us=first["verdicts_through_us"] if first else verdicts_through(self.store),
            rule_set_hash=rule_set_hash,
            config_hash=self.config.config_hash,
            group_by=self.config.group_by,
            run_began_us=first.get("run_began_us") or self.config.run_began_us,
        )

    def _begun(self, batch_id: int) -> pl.DataFrame:
        """The begin rows of a batch that was tried before; the table is read only if it may have been."""
        batches = self.store.table("batches")
        last = batches.app_version(f"begin:{self.config.stream_id}")
        if last is not None and last < batch_id:
            return batches.empty()
        mine = (pl.col("stream_id") == self.config.stream_id) & (pl.col("batch_id") == batch_id)
        return batches.read(where=mine & (pl.col("phase") == "begin")).sort("now_us", maintain_order=True)

    def _facts_are_in(self, batch_id: int) -> dict[str, str] | None:
        """What the facts' commit says of itself (counters, the rule set's hash), None where the batch's facts
        are not in.
        """
        facts, app_id = self.store.table("facts"), f"facts:{self.config.stream_id}"
        last = facts.app_version(app_id)
        if last is None or last < batch_id:
            return None
        return facts.app_metadata(app_id, batch_id) or {}

    def _write_facts(self, frame: Any, batch: Batch, stages: Stopwatch) -> dict[str, int]:
        """Have Spark read and match, then resolve, and append; the counters, which the facts' commit holds
        too.
        """
        config = self.config
        self._check_in_force(batch)
        narrow = self._rows_of(frame)
        stages.done("read_and_match")
        incoming, deleted = with_arrivals(narrow, config, batch.batch_id, batch.now_us)
        parts = classify(
            incoming,
            group_by=batch.group_by,
            now_us=batch.now_us,
            horizon_us=config.dedupe_horizon_us,
            verdicts_through_us=batch.verdicts_through_us,
            include_evaluation=config.include_evaluation,
            run_began_us=batch.run_began_us,
        )
        with facts_turn(config.store_path):  # what stands must stay so until the facts are in
            self._check_in_force(batch)
            resolved = resolve(parts.ready, self._known(parts.ready, batch), batch.run_began_us)
            stages.done("resolve")
            write_side_outputs(self.store, parts, batch)
            side_counters = {
                "rows": incoming.height,
                "expired": parts.expired,
                "in_progress": parts.in_progress.height,
                "quarantined": parts.quarantined.height,
                "deleted": deleted,
            }
            counters = totals([side_counters, resolved.counters])
            counters["arrived_through_us"] = _greatest(incoming["arrived_us"])
            metadata = {name: str(value) for name, value in counters.items()}
            metadata["rule_set_hash"] = batch.rule_set_hash
            append(self.store, "facts", batch, resolved.facts, metadata)
        stages.done("facts")
        return counters

    def _check_in_force(self, batch: Batch) -> None:
        """See whether the rules that the query matches with are in force: else `apply` might pass by facts
        that come later with the former ones.

        Raises:
            RuleSetChanged: others are.
        """
        present, own = in_force(self.rule_sets).hash, self.config.rule_set_hash or batch.rule_set_hash
        if own != present:
            raise RuleSetChanged(f"rules {present} are in force, the query matches with {own}")

    def _known(self, ready: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """The facts of other batches about the traces of this one; of a large batch the ids are compared
        first, alone.
        """
        facts, ids, starts = self.store.table("facts"), ready["trace_id"], ready["start_us"]
        if ready.height > LARGE:
            around = facts.read(["trace_id"], known_where(None, starts, batch.own))
            ids = around.join(ready.select("trace_id"), on="trace_id", how="semi")["trace_id"]
            if ids.is_empty():
                return facts.empty()
        return facts.read(where=known_where(ids, starts, batch.own))


def _greatest(times: pl.Series) -> int:
    latest = times.max()
    return latest if isinstance(latest, int) else 0

"""Rules applied to traces that are counted already, a piece of time after the other (SEMANTICS 31).

A piece is a batch of the stream ``apply``: what it comes to, a begin row, facts, windows, an end row, each
appended once for its number.  A repeat after a crash goes on where it stopped.  Traces are matched by the
plan of the query, on a static frame of the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from rules.rule_set import RuleSet
from store import Store, net_facts
from store.apply_log import APPLY, ApplyLog, ApplyPiece, ApplyRequest
from store.rule_sets import RuleSets
from streams.batch.columns import Shape
from streams.batch.config import BatchConfig, Clock
from streams.batch.match import NARROW
from streams.batch.narrow import matched, narrow_plan
from streams.batch.output import Batch, append, write_windows
from streams.batch.process import in_force, verdicts_through
from streams.batch.rematch import Rematched, rematched
from streams.batch.turn import facts_turn

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PIECE = 50_000  # traces
RowsOf = Callable[[RuleSet, int, int], pa.Table]  # narrow rows of the traces that started in [from, to]


@dataclass(frozen=True)
class _Stretch:
    """The end times of one piece, and the facts that stand there."""

    from_us: int
    to_us: int
    done: bool
    standing: pl.DataFrame


def rows_by_spark(spark: SparkSession, config: BatchConfig) -> RowsOf:
    """Narrow rows by the plan of the query, of the trace table as it is now; files pruned by start time."""

    def rows_of(rules: RuleSet, from_us: int, to_us: int) -> pa.Table:
        table = spark.read.format("delta").load(config.table.uri)
        start = Shape(table.schema, dict(config.table.columns)).column("request_time")
        within = table.where(f"{start} BETWEEN timestamp_micros({from_us}) AND timestamp_micros({to_us})")
        return matched(narrow_plan(within, rules, config))

    return rows_of


class ApplyWorker:
    """Works on requests, for the process that holds the store's lease; one thread at a time.

    Delivery guarantee: exactly once for each piece, however often it is repeated.
    """

    def __init__(
        self, store: Store, config: BatchConfig, clock: Clock, rows_of: RowsOf, piece: int = PIECE
    ) -> None:
        self._store, self._config, self._clock = store, config, clock
        self._rows_of, self._most = rows_of, piece
        self.log = ApplyLog(store)

    @cached_property
    def _rule_sets(self) -> RuleSets:
        return RuleSets(self._store)

    def step(self, request: ApplyRequest) -> ApplyPiece:
        """Do the next piece of a request, or finish the one that was left half written.

        Raises:
            NoRuleSet: there are no rules in the store.
            StoreUnwritable: the store's place cannot be written; the piece will be repeated.
        """
        ended = self._store.table("batches").app_version(f"batches:{APPLY}")
        number = 0 if ended is None else ended + 1
        written = self._store.table("facts").app_version(f"facts:{APPLY}")
        half = self.log.half_written(number) if written is not None and written >= number else None
        piece = half or self._new(request, number)
        if piece is None:  # other rules came into force meanwhile
            return self.step(request)
        rules = self._rule_sets.of_hash(piece.rule_set_hash) or in_force(self._rule_sets).rules
        batch = self._batch(piece.batch_id, piece.at_us, piece.rule_set_hash)
        write_windows(self._store, rules, batch, netted=True)
        batches = self._store.table("batches")
        batches.append([batch.row("end")], app_id=f"batches:{APPLY}", version=piece.batch_id)
        return piece

    def preview(self, request: ApplyRequest, rules: RuleSet) -> Sequence[ApplyPiece]:
        """What the pieces of a request would come to with these rules; nothing is written."""
        pieces: list[ApplyPiece] = []
        while not pieces or not pieces[-1].done:
            stretch = self._stretch(pieces[-1].to_us if pieces else request.from_us, request.to_us)
            found = self._compared(stretch, self._rows(stretch, rules), rules, request)
            pieces.append(self._piece(request, len(pieces), rules.hash, stretch, found))
        return pieces

    def _new(self, request: ApplyRequest, number: int) -> ApplyPiece | None:
        """Match the next stretch and append its facts; None where other rules came into force."""
        present = in_force(self._rule_sets)
        before = [
            one.to_us for one in self.log.whole(request.request_id) if one.rule_set_hash == present.hash
        ]
        with facts_turn(self._config.store_path):  # a batch that still has the former rules is through then
            stretch = self._stretch(max(before, default=request.from_us), request.to_us)
        rows = self._rows(stretch, present.rules)
        with facts_turn(self._config.store_path):
            if in_force(self._rule_sets).hash != present.hash:
                return None
            stretch = self._as_it_is_now(stretch)
            found = self._compared(stretch, rows, present.rules, request)
            piece = self._piece(request, number, present.hash, stretch, found)
            self.log.begin(piece)
            batch = self._batch(number, piece.at_us, present.hash)
            begin = self._store.table("batches")
            begin.append([batch.row("begin")], app_id=f"begin:{APPLY}", version=number)
            append(self._store, "facts", batch, found.facts, {"request_id": request.request_id})
        return piece

    def _stretch(self, from_us: int, to_us: int) -> _Stretch:
        """The next piece of time with at most as many facts as a piece may have, and what stands in it."""
        facts = self._store.table("facts")
        counting = (pl.col("weight") > 0) & (pl.col("end_us") >= from_us) & (pl.col("end_us") < to_us)
        ends = facts.read(["end_us"], counting)["end_us"].sort()
        until = to_us if len(ends) <= self._most else min(int(ends[self._most - 1]) + 1, to_us)
        return _Stretch(from_us, until, until == to_us, self._standing(from_us, until))

    def _standing(self, from_us: int, to_us: int) -> pl.DataFrame:
        """A withdrawal copies the end of what it withdraws, so the rows of a stretch net by themselves."""
        within = (pl.col("end_us") >= from_us) & (pl.col("end_us") < to_us)
        return net_facts(self._store.table("facts").read(where=within)).sort("end_us", "trace_id")

    def _as_it_is_now(self, stretch: _Stretch) -> _Stretch:
        """Without what the query counted anew meanwhile, which it matched with the rules in force."""
        now = self._standing(stretch.from_us, stretch.to_us)
        same = now.join(stretch.standing, on=["trace_id", "content_hash"], how="semi", nulls_equal=True)
        return _Stretch(stretch.from_us, stretch.to_us, stretch.done, same)

    def _rows(self, stretch: _Stretch, rules: RuleSet) -> pl.DataFrame:
        low, high = stretch.standing["start_us"].min(), stretch.standing["start_us"].max()
        if not isinstance(low, int) or not isinstance(high, int):
            return pl.DataFrame(pa.Table.from_batches([], schema=NARROW))
        return pl.DataFrame(self._rows_of(rules, low, high))

    def _compared(
        self, stretch: _Stretch, rows: pl.DataFrame, rules: RuleSet, request: ApplyRequest
    ) -> Rematched:
        ids = [rule.id for rule, _ in rules.per_trace]
        return rematched(stretch.standing, rows, ids=ids, only=request.rules, group_by=self._config.group_by)

    def _piece(
        self, request: ApplyRequest, number: int, rule_set_hash: str, stretch: _Stretch, found: Rematched
    ) -> ApplyPiece:
        return ApplyPiece(
            request_id=request.request_id,
            batch_id=number,
            rule_set_hash=rule_set_hash,
            from_us=stretch.from_us,
            to_us=stretch.to_us,
            done=stretch.done,
            at_us=self._clock(),
            traces=found.traces,
            changed=found.changed,
            regrouped=found.regrouped,
            gone=found.gone,
            uncounted=found.uncounted,
            rules=found.rules,
        )

    def _batch(self, number: int, now_us: int, rule_set_hash: str) -> Batch:
        return Batch(
            stream_id=APPLY,
            batch_id=number,
            now_us=now_us,
            verdicts_through_us=verdicts_through(self._store),
            rule_set_hash=rule_set_hash,
            config_hash=self._config.config_hash,
            group_by=self._config.group_by,
        )

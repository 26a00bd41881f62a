"""One batch: traces in, facts and windows out, exactly once (SEMANTICS 8).

A batch is a begin row, its facts, what windows those facts make (read back by batch id, never taken from the
incoming rows), and an end row.  Each is one append that carries the stream's id and the batch's, so a batch
that is repeated after a crash goes on where it stopped.  Its results leave only through tables.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from rules.groups import DEFAULT_GROUP_BY
from rules.rule_set import RuleSet
from rules.units import DAY_US
from store import Store, open_store
from store.rule_sets import InForce, RuleSets
from store.schemas import TABLES
from store.windows import partials
from streams.batch import person_labels
from streams.batch.columns import raw_frame
from streams.batch.facts import COUNTERS, Classified, classify, known_where, resolve, totals
from streams.batch.match import PACKED_DDL, mapper, plan, unpacked
from streams.errors import NoRuleSet, RuleSetChanged
from streams.sources.delta_traces.log import FileArrivals, arrivals

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("streams.batch.process")
Clock = Callable[[], int]
LARGE = 20_000  # rows of a batch


@dataclass(frozen=True)
class BatchConfig:
    """All that a batch has to be told, as plain values: it may run in another process."""

    store_path: str
    stream_id: str
    checkpoint: str
    config_hash: str = ""
    group_by: tuple[str, ...] = DEFAULT_GROUP_BY
    include_evaluation: bool = False
    dedupe_horizon_us: int = 30 * DAY_US
    columns: tuple[tuple[str, str], ...] = ()
    source_table: str = ""
    rule_set_hash: str = ""  # of the rules that the query matches with; start() puts it in


@dataclass
class Stages:
    """How long the stages of one batch took, in seconds (a stop watch, not a clock: nothing is decided by
    it).
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def done(self, name: str) -> None:
        """Book the time since the last call on ``name``."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._since, 6)
        self._since = now


# A store's handles know the log so far: opening them anew would read all of it for every batch.
_opened = lru_cache(maxsize=2)(open_store)


@lru_cache(maxsize=2)
def _rule_sets(path: str) -> RuleSets:
    return RuleSets(_opened(path))


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


def process_batch(frame: DataFrame, batch_id: int, config: BatchConfig, clock: Clock) -> None:
    """Process one micro-batch of rows of :func:`narrow_plan`; repeating it with the same id changes nothing.

    Raises:
        NoRuleSet: there are no rules in the store.
        RuleSetChanged: the frame was matched with other rules than those now in force; no facts were written.
        StoreUnwritable: the store's place can't be written; the batch will be repeated.
    """
    stages = Stages()
    store = _opened(config.store_path)
    batches = store.table("batches")
    ended = batches.app_version(f"batches:{config.stream_id}")
    if ended is not None and ended >= batch_id:
        return
    begun = _begun(store, config.stream_id, batch_id)
    present = in_force(_rule_sets(config.store_path))
    rule_set, rule_set_hash = present.rules, present.hash
    row: dict[str, Any] = {
        "stream_id": config.stream_id,
        "batch_id": batch_id,
        "phase": "begin",
        "now_us": begun["now_us"][0] if begun.height else clock(),
        "verdicts_through_us": begun["verdicts_through_us"][0] if begun.height else verdicts_through(store),
        "rule_set_hash": rule_set_hash,
        "config_hash": config.config_hash,
        "group_by": list(config.group_by),
    }
    kept = _facts_are_in(store, config.stream_id, batch_id)
    stages.done("begin")
    if kept is None:
        if not begun.height or begun["rule_set_hash"][-1] != rule_set_hash:
            batches.append([row], marks={f"begin:{config.stream_id}": batch_id})
        counters = _write_facts(store, frame, row, config, stages)
    else:  # the windows are made with the pack that made the facts, which may no longer be the present one
        row["rule_set_hash"] = kept.get("rule_set_hash", rule_set_hash)
        rule_set = _rule_sets(config.store_path).of_hash(row["rule_set_hash"]) or rule_set
        counters = {name: int(kept.get(name, 0)) for name in (*COUNTERS, "arrived_through_us")}
    _write_windows(store, rule_set, row)
    stages.done("windows")
    end = {**row, "phase": "end", **counters}
    batches.append([end], app_id=f"batches:{config.stream_id}", version=batch_id)
    stages.done("end")
    log.debug(
        "batch %d: %d rows, %s", batch_id, counters["rows"], stages.seconds, extra={"stages": stages.seconds}
    )


def _begun(store: Store, stream_id: str, batch_id: int) -> pl.DataFrame:
    """The begin rows of a batch that was tried before; the table is read only if it may have been."""
    batches = store.table("batches")
    last = batches.app_version(f"begin:{stream_id}")
    if last is not None and last < batch_id:
        return batches.empty()
    mine = (
        (pl.col("stream_id") == stream_id) & (pl.col("batch_id") == batch_id) & (pl.col("phase") == "begin")
    )
    return batches.read(where=mine).sort("now_us", maintain_order=True)


def _facts_are_in(store: Store, stream_id: str, batch_id: int) -> dict[str, str] | None:
    """What the facts' commit says of itself (counters, the pack), None where the batch's facts are not in."""
    facts = store.table("facts")
    app = f"facts:{stream_id}"
    last = facts.app_version(app)
    if last is None or last < batch_id:
        return None
    return facts.app_metadata(app, batch_id) or {}


def _write_facts(
    store: Store, frame: DataFrame, row: dict[str, Any], config: BatchConfig, stages: Stages
) -> dict[str, int]:
    """Have Spark read and match, then resolve, and append what the batch says; the counters travel in the
    facts' own commit.
    """
    stream_id, batch_id, now_us = row["stream_id"], row["batch_id"], row["now_us"]
    if config.rule_set_hash not in ("", row["rule_set_hash"]):
        raise RuleSetChanged(
            f"rules {row['rule_set_hash']} are in force, the query matches with {config.rule_set_hash}"
        )
    narrow = matched(frame)
    stages.done("read_and_match")
    incoming, deleted = _arrivals(narrow, config, row)
    parts = classify(
        incoming,
        group_by=row["group_by"],
        now_us=now_us,
        horizon_us=config.dedupe_horizon_us,
        verdicts_through_us=row["verdicts_through_us"],
        include_evaluation=config.include_evaluation,
    )
    resolved = resolve(parts.ready, _known(store, parts.ready, (stream_id, batch_id)))
    stages.done("resolve")
    _write_side_outputs(store, parts, row)
    aside = {
        "rows": incoming.height,
        "expired": parts.expired,
        "in_progress": parts.in_progress.height,
        "quarantined": parts.quarantined.height,
        "deleted": deleted,
    }
    counters = totals([aside, resolved.counters])
    counters["arrived_through_us"] = _greatest(incoming["arrived_us"])
    facts = resolved.facts.with_columns(
        pl.lit(stream_id).alias("stream_id"), pl.lit(batch_id, dtype=pl.Int64).alias("batch_id")
    )
    metadata = {
        "rule_set_hash": row["rule_set_hash"],
        **{name: str(value) for name, value in counters.items()},
    }
    store.table("facts").append(
        _typed(facts, "facts"), app_id=f"facts:{stream_id}", version=batch_id, metadata=metadata
    )
    stages.done("facts")
    return counters


def _known(store: Store, ready: pl.DataFrame, own: tuple[str, int]) -> pl.DataFrame:
    """The facts of other batches about the traces of this one; of a large batch the ids are compared first,
    alone.
    """
    facts, ids, starts = store.table("facts"), ready["trace_id"], ready["start_us"]
    if ready.height > LARGE:
        around = facts.read(["trace_id"], known_where(None, starts, own))
        ids = around.join(ready.select("trace_id"), on="trace_id", how="semi")["trace_id"]
        if ids.is_empty():
            return facts.empty()
    return facts.read(where=known_where(ids, starts, own))


def _greatest(times: pl.Series) -> int:
    latest = times.max()
    return latest if isinstance(latest, int) else 0


def narrow_plan(frame: DataFrame, rule_set: RuleSet, config: BatchConfig) -> DataFrame:
    """The plan from a source's rows to narrow rows, packed (``streams.batch.match.PACKED_DDL``).

    It belongs to the query: what ``foreachBatch`` is given has been read whole, and no column of that is
    pruned.
    """
    todo = plan(rule_set, config.group_by)
    return raw_frame(frame, todo.columns, dict(config.columns)).mapInArrow(mapper(todo), PACKED_DDL)


def matched(frame: DataFrame) -> pa.Table:
    """The narrow rows of a frame of :func:`narrow_plan`; the one place where a batch makes Spark work."""
    return unpacked(frame.toArrow())


def _arrivals(narrow: pa.Table, config: BatchConfig, row: dict[str, Any]) -> tuple[pl.DataFrame, int]:
    """Add ``arrived_us``: when the row says it was written, else when its file was committed; and count
    deleted rows.
    """
    frame = pl.DataFrame(narrow)
    files = frame.filter(pl.col("landed_us").is_null())["file"].drop_nulls().unique().to_list()
    found = FileArrivals({}, 0)
    if config.source_table and not config.source_table.startswith(f"{config.store_path.rstrip('/')}/"):
        found = arrivals(config.source_table, config.checkpoint, row["batch_id"], files)
    now = pl.lit(row["now_us"], dtype=pl.Int64)
    came = (
        pl.col("file").replace_strict(found.times, default=now, return_dtype=pl.Int64) if found.times else now
    )
    return frame.with_columns(
        pl.coalesce("landed_us", came).cast(pl.Int64).alias("arrived_us")
    ), found.deleted


def _write_side_outputs(store: Store, parts: Classified, row: dict[str, Any]) -> None:
    """What waits, what was refused and what people say, before the facts: a retry with facts in no longer
    knows them.
    """
    known = store.table("person_labels").read(
        where=person_labels.known_where(parts.said, (row["stream_id"], row["batch_id"]))
    )
    said = person_labels.changes(parts.said, known)
    for name, frame in (
        ("quarantine", parts.quarantined),
        ("in_progress", parts.in_progress),
        ("person_labels", said),
    ):
        own = frame.with_columns(
            pl.lit(row["stream_id"]).alias("stream_id"),
            pl.lit(row["batch_id"], dtype=pl.Int64).alias("batch_id"),
            pl.lit(row["now_us"], dtype=pl.Int64).alias("now_us"),
        )
        if own.height:
            store.table(name).append(
                _typed(own, name), app_id=f"{name}:{row['stream_id']}", version=row["batch_id"]
            )


def _write_windows(store: Store, rule_set: RuleSet, row: dict[str, Any]) -> None:
    stream_id, batch_id = row["stream_id"], row["batch_id"]
    where = (pl.col("stream_id") == stream_id) & (pl.col("batch_id") == batch_id)
    facts = store.table("facts").read(where=where & (pl.col("weight") != 0))
    if facts.is_empty():
        return
    hashes = [rule.partial_key for rule in rule_set.window_rules if rule.partial_key]
    # A withdrawn row may carry the hash of a rule that is no longer in force: its partial is taken back as
    # well.
    known = facts.filter(pl.col("weight") < 0).explode("hits")["hits"].struct.field("hash").drop_nulls()
    old = set(known.to_list()) & _window_hashes(store, known)
    windows = partials(facts, sorted({*hashes, *old})).with_columns(
        pl.lit(stream_id).alias("stream_id"), pl.lit(batch_id, dtype=pl.Int64).alias("batch_id")
    )
    store.table("windows").append(_typed(windows, "windows"), app_id=f"windows:{stream_id}", version=batch_id)


def _window_hashes(store: Store, among: pl.Series) -> set[str]:
    if among.is_empty():
        return set()
    rows = store.table("windows").read(["rule_hash"], pl.col("rule_hash").is_in(among.unique().implode()))
    return set(rows["rule_hash"].to_list())


def _typed(frame: pl.DataFrame, table: str) -> pa.Table:
    """The frame in the table's own schema, column by column."""
    schema = TABLES[table].schema
    arrow = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    return arrow.cast(schema)

"""From raw columns to narrow rows, on Spark's Python workers: matching rules, groups, tokens, cost.

The function given to ``mapInArrow`` holds only plain data (conditions, keys), so it pickles, and runs on
executors.  Narrow rows travel back to the batch as one binary value for each Arrow batch, so that Spark does
not take them apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rules.alerting.sums import TOKENS
from rules.breakdown import (
    AMOUNTS,
    breakdown_columns,
    disagreement,
    entries,
    read_spans,
    spans_usage,
    stored,
)
from rules.failures import failure_columns, failures
from rules.groups import group_columns, group_values
from rules.matcher import Matcher, derive, derived_columns, sound
from store.schemas import HIT
from streams.batch.columns import plain_names

if TYPE_CHECKING:
    from rules.rule_set import RuleSet

NARROW = pa.schema(
    [
        ("trace_id", pa.string()),
        ("experiment_id", pa.string()),
        ("experiment", pa.string()),
        ("group", pa.list_(pa.string())),
        ("start_us", pa.int64()),
        ("duration_ms", pa.float64()),
        ("state", pa.string()),
        ("source_run", pa.string()),
        ("judge", pa.string()),
        ("label", pa.string()),
        ("landed_us", pa.int64()),
        ("file", pa.string()),
        ("content_hash", pa.int64()),
        ("change_us", pa.int64()),
        ("tokens_input", pa.int64()),
        ("tokens_output", pa.int64()),
        ("tokens_total", pa.int64()),
        ("tokens_cache_read", pa.int64()),
        ("tokens_cache_write", pa.int64()),
        ("cost_nusd", pa.int64()),
        ("json_error", pa.string()),
        ("hits", pa.list_(HIT)),
        ("span_keys", pa.string()),
        ("span_sums", pa.binary()),
        ("usage_disagrees", pa.bool_()),
        ("failure", pa.string()),
    ]
)
PACKED_DDL = "narrow binary"
# Columns of few distinct values travel as codes.
_FEW = frozenset(
    {
        "experiment_id",
        "experiment",
        "state",
        "source_run",
        "judge",
        "label",
        "file",
        "json_error",
        "span_keys",
    }
)
_PLAIN = (
    "trace_id",
    "experiment_id",
    "experiment",
    "start_us",
    "duration_ms",
    "state",
    "source_run",
    "judge",
    "label",
    "landed_us",
    "file",
    "content_hash",
    "change_us",
)
_DERIVED = (*(f"tokens_{kind}" for kind in TOKENS), "cost_nusd", "json_error")


@dataclass(frozen=True)
class Plan:
    """What to evaluate on each trace: ids and hashes parallel to the conditions, and the keys of the
    group.

    ``usage_from_spans``: a trace's tokens and cost are those of its spans together, where they report any.
    """

    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    conditions: tuple[Any, ...]
    group_by: tuple[str, ...]
    usage_from_spans: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that it reads, each once."""
        rules = Matcher(self.conditions).columns
        spans = (*breakdown_columns, *failure_columns)
        wanted = [*rules, *derived_columns, *group_columns(self.group_by), *spans]
        return tuple(dict.fromkeys(wanted))


def plan(rule_set: RuleSet, group_by: tuple[str, ...], *, usage_from_spans: bool = False) -> Plan:
    """The trace rules, and the ``where`` of the window rules that have one (those without count every
    trace).
    """
    rules = [(rule.id, rule.hash, condition) for rule, condition in rule_set.per_trace]
    ids, hashes, conditions = zip(*rules, strict=True) if rules else ((), (), ())
    return Plan(tuple(ids), tuple(hashes), tuple(conditions), group_by, usage_from_spans)


def hits(pairs: tuple[Any, Any], rows: int, ids: tuple[str, ...], hashes: tuple[str, ...]) -> pa.Array:
    """Pairs of row and rule, sorted, as a list of (rule, hash) for each row, in the order of the rules."""
    of_rows, rules = pairs
    offsets = pa.array(
        np.concatenate([[0], np.cumsum(np.bincount(of_rows, minlength=rows))]).astype(np.int32)
    )
    taken = pa.array(rules)
    parts = [pc.take(pa.array(texts, pa.string()), taken) for texts in (ids, hashes)]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(parts, fields=list(HIT)))


def narrow(table: pa.Table, todo: Plan, matcher: Matcher) -> pa.Table:
    """The narrow rows of one Arrow batch of raw columns."""
    batch = matcher.evaluation(table)  # each column is decoded once for all that is read from it
    columns = {name: table.column(f"_{name}") for name in _PLAIN}
    derived = derive(batch)
    columns |= {name: derived.column(name) for name in _DERIVED}
    spans = read_spans(batch)
    columns |= stored(entries(spans), table.num_rows)
    of_spans = spans_usage(spans.used, spans.owners, table.num_rows)
    columns["usage_disagrees"] = disagreement(columns, of_spans)
    if todo.usage_from_spans:
        columns |= {name: pc.coalesce(of_spans[name], columns[name]) for name in AMOUNTS}
    columns["failure"] = failures(batch)
    columns["group"] = group_values(batch, todo.group_by)
    columns["hits"] = hits(matcher.hits(batch), table.num_rows, todo.ids, todo.hashes)
    return pa.table([columns[field.name] for field in NARROW], names=NARROW.names).cast(NARROW)


def packed(rows: pa.Table) -> pa.RecordBatch:
    """Narrow rows as one row of :data:`PACKED_DDL`: an Arrow stream."""
    columns = [
        column.dictionary_encode() if name in _FEW else column
        for name, column in zip(NARROW.names, rows, strict=True)
    ]
    encoded = pa.table(columns, names=NARROW.names).combine_chunks()
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, encoded.schema) as writer:
        writer.write_table(encoded)
    content = stream.getvalue()
    offsets = pa.py_buffer(np.array([0, content.size], dtype=np.int32))
    return pa.RecordBatch.from_arrays(
        [pa.Array.from_buffers(pa.binary(), 1, [None, offsets, content])], names=["narrow"]
    )


def unpacked(streams: pa.Table) -> pa.Table:
    """The narrow rows of a table of :data:`PACKED_DDL`."""
    tables = [
        pa.ipc.open_stream(value.as_buffer()).read_all().cast(NARROW) for value in streams.column("narrow")
    ]
    return pa.concat_tables(tables) if tables else NARROW.empty_table()


def mapper(todo: Plan) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for ``mapInArrow``."""

    columns = todo.columns
    back = dict(zip(plain_names(columns), columns, strict=True))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matcher = Matcher(todo.conditions)
        for batch in batches:
            if batch.num_rows:
                table = pa.Table.from_batches([sound(batch)])
                table = table.rename_columns([back.get(name, name) for name in table.column_names])
                yield packed(narrow(table, todo, matcher))

    return run

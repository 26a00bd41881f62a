"""What a fact alone says of a condition: where it surely holds, and where it surely does not.

A fact keeps a few values of its trace as they are, and the keys of its group. A part of a condition that
reads only these is evaluated on them; a value that may stand for two (``""`` of a group stands for null as
well) leaves the question open, and the trace table answers it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from rules.dialect import Condition
from rules.dialect.nodes import Logic, Node
from rules.groups import MAX_VALUE, raw_columns
from rules.matcher import Matcher

_Bools = npt.NDArray[np.bool_]
_SURE = "sure "  # before the name of a column: whether its value is surely that of the trace


def decided(facts: pl.DataFrame, condition: Condition) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The facts (``tracesieve.analysis.selection.COLUMNS``) for which a condition is surely TRUE, and those
    for which it may be; it is not TRUE for all others.
    """
    if facts.is_empty():
        return facts, facts
    known = _known(facts, {raw for part in _parts(condition.node) for raw in _columns(part)})
    surely, perhaps = np.ones(facts.height, dtype=bool), np.ones(facts.height, dtype=bool)
    for part in _parts(condition.node):
        columns = _columns(part)
        if not set(columns) <= set(known.columns):
            surely[:] = False
            continue
        true, sure = _holds(known, part, columns)
        surely &= true & sure
        perhaps &= true | ~sure
    return facts.filter(surely), facts.filter(perhaps & ~surely)


def _parts(node: Node) -> tuple[Node, ...]:
    """The parts all of which have to hold."""
    return node.parts if isinstance(node, Logic) and node.op == "AND" else (node,)


def _columns(part: Node) -> tuple[str, ...]:
    return Condition("", part).columns


def _holds(known: pl.DataFrame, part: Node, columns: tuple[str, ...]) -> tuple[_Bools, _Bools]:
    """Where a part is TRUE by the values that are known, and where these are sure."""
    table = known.select(columns or known.columns[:1]).to_arrow(compat_level=pl.CompatLevel.oldest())
    table = pa.table({name: _ours(table[name]) for name in table.column_names})
    sure = np.ones(known.height, dtype=bool)
    for name in columns:
        sure &= known[_SURE + name].to_numpy()
    return Matcher([Condition("", part)]).match(table)[0], sure


def _ours(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def _known(facts: pl.DataFrame, wanted: set[str]) -> pl.DataFrame:
    """Those raw columns that facts have, and for each whether its value is sure."""
    found = {name: value for name, value in _values() if name in wanted}
    for name in wanted - found.keys():
        for key in _keys(facts, name):
            found[name] = _of_group(key)
    columns = [value.alias(name) for name, (value, _) in found.items()]
    sure = [one.fill_null(False).alias(_SURE + name) for name, (_, one) in found.items()]
    return facts.select(pl.col("trace_id").alias("_"), *columns, *sure)


def _values() -> Iterator[tuple[str, tuple[pl.Expr, pl.Expr]]]:
    """Raw columns that every fact has: the value, and whether it is sure."""
    always = pl.col("trace_id").is_not_null()
    experiment = pl.col("experiment")
    yield "trace_id", (pl.col("trace_id"), always)
    yield "experiment_id", (pl.col("experiment_id"), always)
    # Where a trace names no experiment, or "", its fact has the id, or "".
    named = (experiment != "") & experiment.ne_missing(pl.col("experiment_id"))
    yield "experiment_name", (experiment, named)
    yield "state", (pl.col("state"), pl.col("state") != "STATE_UNSPECIFIED")
    yield "request_time", (pl.from_epoch("start_us", "us").dt.replace_time_zone("UTC"), always)


def _keys(facts: pl.DataFrame, raw: str) -> list[str]:
    """The key of the groups that is that raw column, if there is one."""
    keys = facts["group_by"].explode().drop_nulls().unique(maintain_order=True).to_list()
    return [key for key in keys if raw_columns(key) == (raw,)][:1]


def _of_group(key: str) -> tuple[pl.Expr, pl.Expr]:
    place = pl.col("group_by").list.eval((pl.element() == key).arg_true()).list.first()
    value = pl.col("group").list.get(place, null_on_oob=True)
    sure = (value != "") & (value.str.len_chars() < MAX_VALUE)
    return value, sure

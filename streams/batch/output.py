"""What a batch appends to the store besides its own rows in ``batches``: facts, side outputs, windows.

Every append carries the table's name with the stream's id, and the batch's id, so that it happens once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from rules.rule_set import RuleSet
from store import Store
from store.schemas import TABLES
from store.windows import SUMMED, merge, partials
from streams.batch import person_labels
from streams.batch.classify import Classified


@dataclass(frozen=True)
class Batch:
    """What every row of one batch in ``batches`` says."""

    stream_id: str
    batch_id: int
    now_us: int
    verdicts_through_us: int
    rule_set_hash: str
    config_hash: str
    group_by: tuple[str, ...]
    run_began_us: int | None = None

    def row(self, phase: str, counters: dict[str, int] | None = None) -> dict[str, Any]:
        """Its row in ``batches`` at ``begin`` or ``end``."""
        return {**asdict(self), "group_by": list(self.group_by), "phase": phase, **(counters or {})}

    @property
    def own(self) -> pl.Expr:
        """The filter that finds its rows in a table."""
        return (pl.col("stream_id") == self.stream_id) & (pl.col("batch_id") == self.batch_id)

    def labelled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows with its two ids and its time."""
        return frame.with_columns(
            pl.lit(self.stream_id).alias("stream_id"),
            pl.lit(self.batch_id, dtype=pl.Int64).alias("batch_id"),
            pl.lit(self.now_us, dtype=pl.Int64).alias("now_us"),
        )


def append(
    store: Store, name: str, batch: Batch, rows: pl.DataFrame, metadata: dict[str, str] | None = None
) -> None:
    """Append a batch's rows to a table, once."""
    table = store.table(name)
    table.append(
        typed(batch.labelled(rows), name),
        app_id=f"{name}:{batch.stream_id}",
        version=batch.batch_id,
        metadata=metadata,
    )


def write_side_outputs(store: Store, parts: Classified, batch: Batch) -> None:
    """Append traces that wait, refused rows and people's labels.

    Before the facts: a retry that finds its facts in the table no longer has these rows.
    """
    known = store.table("person_labels").read(where=person_labels.known_where(parts.labels, batch.own))
    for name, rows in (
        ("quarantine", parts.quarantined),
        ("in_progress", parts.in_progress),
        ("person_labels", person_labels.changes(parts.labels, known)),
    ):
        if rows.height:
            append(store, name, batch, rows)


def write_windows(store: Store, rules: RuleSet, batch: Batch, *, netted: bool = False) -> None:
    """Append the windows that the batch's facts make, as the table has those facts; ``netted``: without those
    of which nothing is left.
    """
    facts = store.table("facts").read(list(SUMMED), batch.own & (pl.col("weight") != 0))
    if facts.is_empty():
        return
    # A withdrawn fact may have hits of a rule that is no longer in force: its partial is taken back too.
    hit = facts.filter(pl.col("weight") < 0).explode("hits")["hits"].struct.field("hash").drop_nulls()
    former = set(hit.to_list()) & _window_hashes(store, hit)
    made = partials(facts, sorted({*rules.partial_keys, *former}))
    append(store, "windows", batch, merge(made) if netted else made)


def _window_hashes(store: Store, among: pl.Series) -> set[str]:
    """Those of some hashes under which there are windows."""
    if among.is_empty():
        return set()
    rows = store.table("windows").read(["rule_hash"], pl.col("rule_hash").is_in(among.unique().implode()))
    return set(rows["rule_hash"].to_list())


def typed(frame: pl.DataFrame, table: str) -> pa.Table:
    """The frame in the table's own schema, column by column."""
    schema = TABLES[table].schema
    arrow = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    return arrow.cast(schema)

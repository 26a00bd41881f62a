"""The breakdowns of many facts added up by span type and name, those of one layout together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from rules.breakdown import Entries, Pair, Total, add_alike, fold_totals, folded, restored, totals
from rules.breakdown.arrays import Ints

AT_ONCE = 100_000  # facts whose breakdowns are in memory at the same time
_FEW = 300  # facts of one layout: fewer are faster together with those of others
_HEAD_BYTES = 8


def added_up(facts: pl.DataFrame) -> dict[Pair, Total]:
    """What all facts come to; ``facts`` has ``span_keys`` and ``span_sums``, without nulls.

    Of more than :data:`rules.breakdown.MOST_PAIRS` types and names the rarest are added up as ``other``.
    """
    found: dict[Pair, Total] = {}

    def add(entries: Entries) -> None:
        totals(folded(entries), found)
        fold_totals(found)

    unpacked(facts, lambda pairs, numbers: add_alike(pairs, numbers, found), add)
    return found


def unpacked(
    facts: pl.DataFrame,
    alike: Callable[[Sequence[Pair], Ints], bool],
    other: Callable[[Entries], object],
) -> None:
    """Give all breakdowns to one of two functions: those of many traces of one layout to ``alike``
    (:func:`rules.breakdown.add_alike`), the rest, and where that returns False, to ``other``.
    """
    others = []
    for text, rows in _layouts(facts):
        if len(rows) < _FEW:
            others.append(rows)
            continue
        pairs: list[Pair] = [(kind, name) for kind, name in json.loads(text)]
        for part in _parts(rows):
            data = facts["span_sums"].gather(part).to_arrow(compat_level=pl.CompatLevel.oldest())
            numbers = np.frombuffer(data.buffers()[2], "<i8").reshape(len(part), -1)
            if not alike(pairs, numbers):
                others.append(part)
    for part in _parts(pl.concat(others)) if others else ():
        of_part = facts.select("span_keys", "span_sums")[part]
        keys, sums = (
            of_part[name].to_arrow(compat_level=pl.CompatLevel.oldest()) for name in of_part.columns
        )
        other(restored(keys, sums))


def _layouts(facts: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    """The texts of keys, each with the rows of facts that have it, the same head and as many numbers."""
    sums = pl.col("span_sums").bin
    head = sums.slice(0, _HEAD_BYTES).bin.reinterpret(dtype=pl.Int64, endianness="little")
    layouts = (
        facts.select(pl.col("span_keys").cast(pl.Categorical), head=head, size=sums.size())
        .with_row_index("row")
        .group_by("span_keys", "head", "size", maintain_order=True)
        .agg("row")
        .with_columns(pl.col("span_keys").cast(pl.String))
    )
    yield from zip(layouts["span_keys"], layouts["row"], strict=True)


def _parts(rows: pl.Series) -> Iterator[pl.Series]:
    for first in range(0, len(rows), AT_ONCE):
        yield rows.slice(first, AT_ONCE)

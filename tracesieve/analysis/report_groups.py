"""The numbers of a range by group: by all keys that a fact is grouped by, or by some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tracesieve.analysis.measures import BUCKET, MEASURED, measures


def groups(facts: pl.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """A row each, the largest first; ``by`` names keys of ``group_by`` (none: all of them).

    A fact that is not grouped by a key has ``""`` there. ``facts`` have their buckets.
    """
    needed = facts.select("group_by", "group", *MEASURED, BUCKET)
    keyed, names = _keyed(needed, by) if by else (needed, ("group_by", "group"))
    rows = []
    for values, numbers in measures(keyed, names).items():
        pairs = zip(by, values, strict=True) if by else zip(values[0] or (), values[1] or (), strict=True)
        rows.append({"group": dict(pairs), **numbers})
    return sorted(rows, key=lambda row: (-row["traces"], str(row["group"])))


def _keyed(facts: pl.DataFrame, by: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The facts with the value of each key as a column; facts are written under few different keys."""
    names = [f"_key{place}" for place in range(len(by))]
    parts = [
        part.with_columns(
            (_value(known.index(key)) if key in known else pl.lit("")).alias(name)
            for key, name in zip(by, names, strict=True)
        )
        for (keys,), part in facts.group_by("group_by")
        for known in [list(keys or ())]
    ]
    empty = facts.with_columns(pl.lit("").alias(name) for name in names).clear()
    return pl.concat(parts) if parts else empty, names


def _value(place: int) -> pl.Expr:
    return pl.col("group").list.get(place, null_on_oob=True).fill_null("")

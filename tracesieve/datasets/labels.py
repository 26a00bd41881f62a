"""The labels that people give traces (``eval_candidate``): the one that arrived last stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl


class Label(NamedTuple):
    """What a person last wrote into a trace's ``eval_candidate``; None: taken away."""

    arrived_us: int
    batch_us: int
    category: str | None


def category_of(label_of: Mapping[str, Label], trace_id: str) -> str | None:
    """What a person calls a trace; None: nothing."""
    label = label_of.get(trace_id)
    return label.category if label else None


def update(label_of: dict[str, Label], rows: pl.DataFrame) -> None:
    """Take new labels in: the one that arrived last stands."""
    columns = rows.select("trace_id", "arrived_us", "now_us", "label")
    for trace_id, arrived_us, batch_us, category in columns.iter_rows():
        label = Label(arrived_us or 0, batch_us or 0, category)
        if trace_id not in label_of or label[:2] >= label_of[trace_id][:2]:
            label_of[trace_id] = label

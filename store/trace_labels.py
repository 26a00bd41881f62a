"""Tags and metadata of traces, from maps as Delta tables have them, however a reader shows these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

_PLACES = {"tags": "tags", "trace_metadata": "metadata"}


def labels_of(rows: pl.DataFrame) -> dict[str, dict[str, str]]:
    """By trace id, as ``tags.KEY`` and ``metadata.KEY``; the last row of an id stands."""
    columns = [name for name in _PLACES if name in rows.columns]
    return {
        row["trace_id"]: {
            f"{_PLACES[name]}.{key}": value for name in columns for key, value in _pairs(row[name])
        }
        for row in rows.select("trace_id", *columns).iter_rows(named=True)
    }


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    """The entries of a map: a list of keys with values, or a mapping; those without a value are left out."""
    if isinstance(value, Mapping):
        yield from ((str(key), str(one)) for key, one in value.items() if one is not None)
        return
    for one in value if isinstance(value, list) else []:
        if isinstance(one, Mapping) and one.get("value") is not None:
            yield str(one.get("key")), str(one["value"])

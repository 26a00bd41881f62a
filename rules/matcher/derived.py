"""Numbers from a trace's metadata that every fact has: tokens and cost, and whether their JSON is broken."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rules.dialect.fields import COST, USAGE
from rules.matcher import values as v
from rules.matcher.batch import Batch
from rules.matcher.decode import json_numbers

derived_columns: tuple[str, ...] = (USAGE, COST)
# By the names of facts, the keys in MLflow's JSON.
_TOKENS = {
    **{name: f"{name}_tokens" for name in ("input", "output", "total")},
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}
NANO = 1_000_000_000


def derive(table: pa.Table | Batch) -> pa.Table:
    """Columns ``tokens_input|output|total|cache_read|cache_write`` and ``cost_nusd`` (int64, null where
    unknown) and ``json_error`` (a code or null).
    """
    batch = table if isinstance(table, Batch) else Batch(table)
    columns = {
        f"tokens_{name}": _integers(json_numbers(batch, USAGE, key), 1) for name, key in _TOKENS.items()
    }
    columns["cost_nusd"] = _integers(json_numbers(batch, COST, "total_cost"), NANO)
    faults = {
        "broken_token_json": _broken(batch, USAGE),
        "broken_cost_json": _broken(batch, COST),
        "tokens_out_of_range": batch.texts(USAGE).where(batch.objects(USAGE).out_of_range),
        "cost_out_of_range": batch.texts(COST).where(batch.objects(COST).out_of_range),
    }
    columns["json_error"] = _first(faults, batch.rows)
    return pa.table(columns)


def _first(faults: dict[str, v.Bools], size: int) -> pa.Array:
    """For each trace the first fault that it has, null for none: nearly always, and texts cost much."""
    if not any(found.any() for found in faults.values()):
        return pa.nulls(size, pa.string())
    codes = np.select(list(faults.values()), list(faults), "")
    return pa.array(codes, pa.string(), mask=codes == "")


def _integers(values: v.Numbers, factor: int) -> pa.Array:
    known = ~np.isnan(values)
    scaled = np.rint(np.where(known, values, 0) * factor)
    return pa.array(scaled.astype(np.int64), pa.int64(), mask=~known)


def _broken(batch: Batch, raw: str) -> v.Bools:
    return batch.texts(raw).where(batch.objects(raw).broken)

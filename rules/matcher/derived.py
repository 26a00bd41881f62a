"""Numbers that every fact carries, derived from a trace's metadata: tokens and cost, and whether their JSON is sound."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from rules.dialect.fields import COST, USAGE
from rules.matcher import values as v
from rules.matcher.evaluate import Evaluation

derived_columns: tuple[str, ...] = (USAGE, COST)
NANO = 1_000_000_000


def derive(table: pa.Table) -> pa.Table:
    """Columns ``tokens_input|output|total`` and ``cost_nusd`` (int64, null where unknown) and ``json_error`` (a code or null)."""
    batch = Evaluation(table)
    usage, cost = v.texts(batch._flat(USAGE)), v.texts(batch._flat(COST))
    columns = {
        name: _integers(v.from_words(usage, v.json_number(key)), 1)
        for name, key in (
            ("tokens_input", "input_tokens"),
            ("tokens_output", "output_tokens"),
            ("tokens_total", "total_tokens"),
        )
    }
    columns["cost_nusd"] = _integers(v.from_words(cost, v.json_number("total_cost")), NANO)
    bad_usage, bad_cost = _broken(usage), _broken(cost)
    codes = np.where(bad_usage, "broken_token_json", np.where(bad_cost, "broken_cost_json", "")).astype(object)
    columns["json_error"] = pa.array([code or None for code in codes], pa.string())
    return pa.table(columns)


def _integers(values: v.Numbers, factor: int) -> pa.Array:
    scaled = np.rint(values.data * factor)
    known = values.known & (np.abs(scaled) < 2.0**62)  # beyond that it is no amount, and would overflow
    return pa.array(np.where(known, scaled, 0).astype(np.int64), pa.int64(), mask=~known)


def _broken(values: v.Texts) -> v.Bools:
    def is_broken(word: str) -> bool:
        try:
            return not isinstance(json.loads(word), dict)
        except (ValueError, RecursionError):
            return True

    return np.array([is_broken(word) for word in values.words] + [False])[values.codes]

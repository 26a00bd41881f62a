"""From values of spans to one number a trace: their count, sum, largest, smallest and mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rules.matcher import values as v

_FROM = {"max": (np.maximum, -np.inf), "min": (np.minimum, np.inf)}


def total(op: str, rows: int, owners: npt.NDArray[np.int64], values: v.Numbers | None) -> v.Numbers:
    """What the values of each row come to; NaN for a row with none, whose count is 0.

    Args:
        op: ``count``, ``sum``, ``max``, ``min`` or ``avg``.
        rows: how many rows there are.
        owners: for each value its row.
        values: NaN where there is none; None for ``count``.
    """
    if values is None:
        return np.bincount(owners, minlength=rows).astype(np.float64)
    known = ~np.isnan(values)
    owners, values = owners[known], values[known]
    number = np.bincount(owners, minlength=rows)
    if op in _FROM:
        extreme, start = _FROM[op]
        found = np.full(rows, start)
        extreme.at(found, owners, values)
        return np.where(number > 0, found, np.nan)
    summed = np.bincount(owners, weights=values, minlength=rows).astype(np.float64)
    summed = np.where(number > 0, summed, np.nan)
    return np.asarray(summed / np.maximum(number, 1) if op == "avg" else summed)

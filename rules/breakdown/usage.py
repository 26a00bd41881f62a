"""Tokens and cost of the spans of a trace, so that nothing is counted twice.

Some tracers write on an agent's span what all calls below it used, some only on the calls, some on both. What
a span reports, or what the spans below it report together, whichever is more, is what was used there. So a
span itself used what it reports beyond those below it, and the parts add up to the trace.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rules.breakdown.arrays import Bools, Ints
from rules.breakdown.columns import AMOUNTS, SPAN_COST
from rules.breakdown.tree import depths
from rules.dialect.fields import SPAN_USAGE
from rules.matcher.batch import Batch
from rules.matcher.decode import json_numbers
from rules.matcher.derived import NANO

Floats = npt.NDArray[np.float64]
COST_SLACK_NUSD = 1_000  # costs are sums of floating numbers: a millionth of a dollar makes no difference
_LARGEST = 2.0**62


def own_usage(batch: Batch, parent: Ints) -> dict[str, Floats]:
    """What each span itself used, by amount (:data:`AMOUNTS`): whole numbers, NaN where it reports none."""
    found = {}
    for name in AMOUNTS:
        raw, key, factor = _where(name)
        if not batch.texts(raw).known.any():
            found[name] = np.full(len(parent), np.nan)
            continue
        found[name] = own_share(np.rint(json_numbers(batch, raw, key) * factor), parent)
    return found


def _where(name: str) -> tuple[str, str, int]:
    if name == "cost_nusd":
        return SPAN_COST, "total_cost", NANO
    return SPAN_USAGE, f"{name.removeprefix('tokens_')}_tokens", 1


def own_share(reported: Floats, parent: Ints) -> Floats:
    """What each span reports beyond the spans below it; NaN where it reports nothing."""
    known = ~np.isnan(reported)
    has_child = np.zeros(len(parent), dtype=bool)
    has_child[parent[parent >= 0]] = True
    if not (known & has_child).any():
        return reported
    used, below = np.where(known, reported, 0.0), np.zeros(len(parent))
    depth = depths(parent)
    order = np.argsort(depth, kind="stable")
    starts = np.searchsorted(depth[order], np.arange(int(depth.max()) + 2))
    for level in range(int(depth.max()), -1, -1):
        spans = order[starts[level] : starts[level + 1]]
        used[spans] = np.maximum(used[spans], below[spans])
        if level:
            np.add.at(below, parent[spans], used[spans])
    return np.where(known, np.maximum(reported - below, 0.0), np.nan)


def spans_usage(shares: Mapping[str, Floats], owners: Ints, rows: int) -> dict[str, pa.Array]:
    """What the spans of each trace used together (int64, null where no span reports), by amount."""
    found = {}
    for name, share in shares.items():
        known = ~np.isnan(share)
        sums = np.bincount(owners[known], weights=share[known], minlength=rows).astype(np.float64)
        number = np.bincount(owners[known], minlength=rows)
        found[name] = pa.array(integers(sums), pa.int64(), mask=number == 0)
    return found


def integers(values: Floats) -> Ints:
    """Amounts as integers, those too large cut."""
    return np.minimum(values, _LARGEST).astype(np.int64)


def disagreement(of_trace: Mapping[str, pa.Array], of_spans: Mapping[str, pa.Array]) -> pa.Array:
    """Whether a trace's own tokens or cost differ from those of its spans; null where nothing can be
    compared.
    """
    rows = len(next(iter(of_trace.values())))
    differs, compared = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    for name in AMOUNTS:
        both = _valid(of_trace[name]) & _valid(of_spans[name])
        one, other = (_values(part[name]) for part in (of_trace, of_spans))
        slack = COST_SLACK_NUSD if name == "cost_nusd" else 0
        differs |= both & (np.abs(one - other) > slack)
        compared |= both
    return pa.array(differs, pa.bool_(), mask=~compared)


def _valid(column: pa.Array) -> Bools:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))


def _values(column: pa.Array) -> Ints:
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)

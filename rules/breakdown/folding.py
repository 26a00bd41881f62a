"""Types and names of many traces, bounded: names that have an id in them are as many as traces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rules.breakdown.arrays import Bools, Ints
from rules.breakdown.entries import OTHER, TYPES, Entries
from rules.breakdown.totals import Pair, Total

MOST_PAIRS = 5_000  # of type and name; the rest are ``other``, by type


def most_frequent(places: Ints, number: int, most: int) -> Bools:
    """Which of ``number`` kinds to keep, those that occur most often in ``places``; of equals the first."""
    counts = np.bincount(places, minlength=number)
    kept = np.zeros(number, dtype=bool)
    kept[np.argsort(-counts, kind="stable")[:most]] = True
    return kept


def folded(found: Entries, most: int = MOST_PAIRS) -> Entries:
    """The entries, the rarest pairs of type and name as ``other`` where there are more than ``most``.

    A trace may have several entries of such a pair then.
    """
    width = len(found.names)
    codes, places = np.unique(found.pairs[:, 0] * width + found.pairs[:, 1], return_inverse=True)
    if len(codes) <= most:
        return found
    rare = ~most_frequent(places.reshape(-1), len(codes), most)[places.reshape(-1)]
    known = np.array([word in TYPES for word in found.types])
    pairs = found.pairs.copy()
    pairs[rare, 0] = np.where(known[pairs[rare, 0]], pairs[rare, 0], len(found.types))
    pairs[rare, 1] = width
    return replace(found, pairs=pairs, types=[*found.types, OTHER], names=[*found.names, OTHER])


def fold_totals(of_pairs: dict[Pair, Total], most: int = MOST_PAIRS) -> None:
    """The same with what was added up, in place."""
    if len(of_pairs) <= most:
        return
    by_calls = sorted(of_pairs, key=lambda pair: (-of_pairs[pair].sums["calls"], pair))
    for kind, name in by_calls[most:]:
        rare = of_pairs.pop((kind, name))
        of_pairs.setdefault((kind if kind in TYPES else OTHER, OTHER), Total()).add(rare)

"""The buckets of the histograms that ``/metrics`` serves: their upper bounds, s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

from pydantic import AfterValidator

BUCKETS_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_MOST = 100  # each is a series for each group


def _increasing(bounds_s: Sequence[float]) -> Sequence[float]:
    if not 0 < len(bounds_s) <= _MOST:
        raise ValueError(f"1 to {_MOST} bounds in seconds are expected, not {len(bounds_s)}")
    if not all(0 < bound < math.inf for bound in bounds_s):
        raise ValueError("seconds above 0 are expected; the bucket without an end (+Inf) is always there")
    for before, after in pairwise(bounds_s):
        if after <= before:
            raise ValueError(f"each bound must be more than the one before: {after:g} follows {before:g}")
    return bounds_s


BucketsS = Annotated[tuple[float, ...], AfterValidator(_increasing)]
"""A key that holds upper bounds in seconds, each more than the one before."""

"""Exponential histograms of durations, OpenTelemetry's scale 6, base 2^(1/64).

Bucket i holds values in (base^i, base^(i+1)]. Values are integer microseconds. Bucket bounds are compared
as exact integers, never as floating logarithms, so that a value falls into the same bucket on every machine.
Counts are integers: merging is addition, withdrawing subtraction, and a quantile is the same in any order,
split or replay.
Source: OpenTelemetry metrics data model, "ExponentialHistogram".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

SCALE = 6
PER_OCTAVE = 2**SCALE
ZERO_INDEX = (
    -1
)  # durations of 0 µs; 1 µs is base^0, the upper bound of index -1, and shares it (0.55 µs off at most)
_OCTAVES = 48  # up to 2^48 µs, about nine years


def _upper_bounds() -> npt.NDArray[np.int64]:
    """floor(base^(i+1)) for i = -1, 0, 1, …: an integer v lies in the bucket of the first bound that is >=
    v.
    """
    with localcontext() as context:
        context.prec = 60
        root = Decimal(2)
        for _ in range(SCALE):
            root = root.sqrt()
        steps = [Decimal(1)]
        for _ in range(PER_OCTAVE - 1):
            steps.append(steps[-1] * root)
        return np.array(
            [int(steps[i % PER_OCTAVE] * 2 ** (i // PER_OCTAVE)) for i in range(_OCTAVES * PER_OCTAVE + 1)],
            dtype=np.int64,
        )


_BOUNDS = _upper_bounds()
BUCKETS = len(_BOUNDS) + 1  # with those of 0 µs and of what is longer than any bound
_MANY = 4096  # values from which a logarithm first is faster
_NEAR = np.float32(1 / 64)  # of a bucket: many times what a 32-bit logarithm can be off


def bucket_index(duration_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The bucket of each duration (µs, none negative)."""
    if duration_us.size < _MANY:
        return _exact(duration_us)
    place = np.log2(np.maximum(duration_us, 1).astype(np.float32)) * np.float32(PER_OCTAVE)
    index = place.astype(np.int32)  # 64 buckets an octave, so it is the bucket, but near a bound
    off = place - index
    unsure = (off < _NEAR) | (off > 1 - _NEAR) | (index >= len(_BOUNDS) - 2)
    index[unsure] = _exact(duration_us[unsure])
    return index


def _exact(duration_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return (np.searchsorted(_BOUNDS, duration_us, side="left") - 1).astype(np.int32)


def bucket_value_us(index: int) -> float:
    """What a bucket stands for: the geometric mean of its bounds (at most 0.55% from any value in it), in
    µs.
    """
    return 0.0 if index <= ZERO_INDEX else float(2.0 ** ((index + 0.5) / PER_OCTAVE))


def quantile_us(counts: Mapping[int, int], q: float) -> float | None:
    """The q-quantile in µs: the value of the smallest bucket with at least ⌈q·n⌉ at or below it; None for n =
    0.
    """
    total = sum(counts.values())
    if total <= 0:
        return None
    # q is a decimal such as 0.95; the guard keeps 0.95·20 = 19.000000000000004 from being ranked 20.
    rank = max(1, math.ceil(q * total - 1e-9))
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            return bucket_value_us(index)
    return None


def add(into: dict[int, int], index: Sequence[int], count: Sequence[int], sign: int = 1) -> None:
    """Add (or with ``sign=-1`` take away) buckets in place; buckets that come to nothing are dropped."""
    for i, c in zip(index, count, strict=True):
        total = into.get(i, 0) + sign * c
        if total:
            into[i] = total
        else:
            into.pop(i, None)

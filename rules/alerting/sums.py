"""The sums that are kept of traces, and the measures that they give.

``SUMS`` is the one list of them: the batch computes them, the table ``windows`` keeps them as columns, alert
rules and metrics read them. Counts and sums are integers, signed by a fact's weight, so that they add up to
the same totals in any order or split; only measures are floating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rules.alerting.histogram import quantile_us

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


# Kinds of tokens, each a column of facts; those of a cache are a part of the input.
TOKENS = ("input", "output", "total", "cache_read", "cache_write")
_TOKEN_MEASURES = {"tokens" if kind == "total" else f"tokens.{kind}": f"tokens_{kind}" for kind in TOKENS}


class Sum(NamedTuple):
    """One sum over facts.

    ``how`` says what each fact adds: 1 (``count``), 1 if its ``fact`` column is true (``true``) or has a
    value (``known``), or that value (``total``). ``measured``: a measure of a condition is made of it.
    """

    name: str
    how: Literal["count", "true", "known", "total"]
    fact: str = ""
    measured: bool = False


SUMS: tuple[Sum, ...] = (
    Sum("traces", "count", measured=True),
    Sum("errors", "true", "error", measured=True),
    Sum("timed", "known", "duration_us"),
    Sum("duration_sum_us", "total", "duration_us"),
    *(Sum(f"tokens_{kind}", "total", f"tokens_{kind}", measured=True) for kind in TOKENS),
    *(Sum(f"tokens_{kind}_known", "known", f"tokens_{kind}", measured=True) for kind in TOKENS),
    Sum("cost_nusd", "total", "cost_nusd", measured=True),
    Sum("cost_known", "known", "cost_nusd", measured=True),
)
SUM_NAMES = tuple(one.name for one in SUMS)
MEASURED = tuple(one.name for one in SUMS if one.measured)
_PLACE = {name: place for place, name in enumerate(MEASURED)}


@dataclass(frozen=True)
class Window:
    """The sums of one window of one group; ``counts`` is its histogram of durations (µs)."""

    traces: int
    errors: int
    counts: Mapping[int, int]
    tokens_total: int = 0
    tokens_total_known: int = 0
    cost_nusd: int = 0
    cost_known: int = 0
    tokens_input: int = 0
    tokens_input_known: int = 0
    tokens_output: int = 0
    tokens_output_known: int = 0
    tokens_cache_read: int = 0
    tokens_cache_read_known: int = 0
    tokens_cache_write: int = 0
    tokens_cache_write_known: int = 0


@dataclass(frozen=True)
class WindowSums:
    """Many windows, one item of each column a window.

    ``rows`` has a column for each name of :data:`MEASURED`; ``quantiles`` are ms, NaN where there is none.
    """

    rows: Ints
    quantiles: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.rows)

    def sum_of(self, name: str) -> Ints:
        """One sum by its name."""
        return self.rows[:, _PLACE[name]]

    def measures(self) -> dict[str, Floats]:
        """The measures that conditions may name; rates and quantiles of nothing, and sums of which no value
        is known, are NaN.
        """
        none = np.full(len(self), np.nan)
        traces, errors = (self.sum_of(name).astype(np.float64) for name in ("traces", "errors"))
        found = {
            "traces": traces,
            "errors": errors,
            "error_rate": np.divide(errors, traces, out=none.copy(), where=traces > 0),
            **{name: self._where_known(column) for name, column in _TOKEN_MEASURES.items()},
            "cost_usd": np.where(self.sum_of("cost_known") > 0, self.sum_of("cost_nusd") / 1e9, np.nan),
        }
        return found | {name: self.quantiles.get(name, none) for name in QUANTILES}

    def _where_known(self, name: str) -> Floats:
        return np.where(self.sum_of(f"{name}_known") > 0, self.sum_of(name), np.nan)


def sums_of(windows: Sequence[Window]) -> WindowSums:
    """Single windows as columns, with all quantiles."""
    rows = [[getattr(window, name) for name in MEASURED] for window in windows]
    quantiles = {}
    for name, q in QUANTILES.items():
        values = [quantile_us(window.counts, q) for window in windows]
        quantiles[name] = np.array([np.nan if value is None else value / 1000 for value in values])
    return WindowSums(np.array(rows, dtype=np.int64).reshape(-1, len(MEASURED)), quantiles)
